//! Colours, light and dark. Written out for every class, because drawing programs know no variables.

use crate::docs::Kind;

/// Fill and rim of a kind, light and then dark.
const KINDS: [(Kind, [&str; 4]); 10] = [
    (Kind::Internet, ["#e2e8f0", "#475569", "#1f2937", "#94a3b8"]),
    (Kind::Network, ["#cffafe", "#0e7490", "#083344", "#22d3ee"]),
    (Kind::Host, ["#f8fafc", "#94a3b8", "#131c2e", "#475569"]),
    (Kind::Proxy, ["#ede9fe", "#7c3aed", "#2e1065", "#a78bfa"]),
    (Kind::Service, ["#dbeafe", "#2563eb", "#172554", "#60a5fa"]),
    (Kind::Database, ["#dcfce7", "#15803d", "#052e16", "#4ade80"]),
    (Kind::Storage, ["#fef3c7", "#b45309", "#3b1d06", "#fbbf24"]),
    (Kind::External, ["#f1f5f9", "#64748b", "#1a2333", "#94a3b8"]),
    (Kind::Agent, ["#fce7f3", "#be185d", "#4a0d2b", "#f472b6"]),
    (Kind::Paper, ["#fefce8", "#a16207", "#2b2409", "#facc15"]),
];

const FIXED: &str = "\
.plumbline text{font-family:Helvetica,Arial,'Liberation Sans','Nimbus Sans',sans-serif}\
.plumbline .t{font-size:14px;font-weight:bold}.plumbline .c{font-size:13px;font-weight:bold}.plumbline .s{font-size:11.5px}\
.plumbline .h{font-size:18px;font-weight:bold}.plumbline .m{text-anchor:middle}.plumbline .b{stroke-width:1.4}\
.plumbline .e{fill:none;stroke-width:1.5}.plumbline .d{stroke-dasharray:5 4}";

/// Paper, ink, soft ink and lines. Every text has a contrast of at least 4.5 to 1 with what it stands on (WCAG 2.2).
const LIGHT: [&str; 4] = ["#ffffff", "#0f172a", "#475569", "#64748b"];
const DARK: [&str; 4] = ["#0b1120", "#f1f5f9", "#b4c0d0", "#7f8ea3"];

/// The style sheet of a drawing.
pub(in crate::docs) fn style() -> String {
    let light = colors(LIGHT, 0);
    let dark = colors(DARK, 2);
    format!("{FIXED}{light}@media (prefers-color-scheme:dark){{{dark}}}")
}

fn colors([paper, ink, soft, line]: [&str; 4], from: usize) -> String {
    let mut text = format!(
        ".plumbline text{{fill:{ink}}}.plumbline .bg{{fill:{paper}}}.plumbline .s{{fill:{soft}}}\
         .plumbline .e{{stroke:{line}}}.plumbline .a{{fill:{line}}}"
    );
    for (kind, colors) in KINDS {
        text.push_str(&format!(".plumbline .k-{}{{fill:{};stroke:{}}}", kind.as_str(), colors[from], colors[from + 1]));
    }
    text
}
