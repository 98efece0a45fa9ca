//! One page with every view, without scripts and without anything from elsewhere.

use super::Diagram;
use super::svg::{self, escape};
use super::view::{View, draw_view};
use crate::fleet::Fleet;

const STYLE: &str = "\
:root{color-scheme:light dark}body{margin:0 auto;max-width:1400px;padding:24px;font-family:Helvetica,Arial,'Liberation Sans',sans-serif;line-height:1.5;background:#fff;color:#0f172a}\
nav a{margin-right:1em}a{color:#1d4ed8}figure{margin:24px 0;overflow-x:auto;border:1px solid #cbd5e1;border-radius:10px}figure svg{display:block;margin:0 auto}@media print{figure svg{max-width:100%;height:auto}}\
@media (prefers-color-scheme:dark){body{background:#0b1120;color:#f1f5f9}a{color:#93c5fd}figure{border-color:#334155}}";

/// The page. Views in which there is nothing to see are left out.
pub(super) fn draw(fleet: &Fleet, first: &View, diagram: Diagram) -> String {
    let mut diagrams = vec![diagram];
    let mut views = View::ALL.to_vec();
    let proxied = fleet.services.iter().filter(|(_, service)| !service.proxy.is_empty());
    views.extend(proxied.map(|(name, _)| View::Request(name.clone())));
    for view in views.iter().filter(|view| *view != first) {
        diagrams.extend(draw_view(fleet, view).ok().filter(|diagram| !diagram.nodes.is_empty()));
    }
    let title = format!("Architecture of {}", fleet.name);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}{drawing}</style>\n</head>\n<body>\n<h1>{title}</h1>\n",
        title = escape(&title),
        drawing = svg::style()
    );
    if let Some(description) = &fleet.description {
        page.push_str(&format!("<p>{}</p>\n", escape(description)));
    }
    page.push_str("<nav>");
    for (index, diagram) in diagrams.iter().enumerate() {
        page.push_str(&format!("<a href=\"#v{index}\">{}</a> ", escape(&diagram.title)));
    }
    page.push_str("</nav>\n");
    for (index, diagram) in diagrams.iter().enumerate() {
        page.push_str(&format!(
            "<figure id=\"v{index}\">\n{}</figure>\n",
            svg::draw_with(diagram, &format!("v{index}d"), "")
        ));
    }
    page.push_str("</body>\n</html>\n");
    page
}
