//! Mermaid (flowchart), <https://mermaid.js.org/syntax/flowchart.html>.

use super::{Diagram, Kind, Line, Node};

/// Draws a diagram. Ids are numbers behind a letter, because words such as `end` are keywords; texts are in quotes, with
/// everything that Mermaid or HTML would read as something else written as an entity.
pub(super) fn draw(diagram: &Diagram) -> String {
    let mut text = format!("---\ntitle: {}\n---\nflowchart TB\n", yaml_string(&diagram.title));
    text.push_str(&format!("  accTitle: {}\n  accDescr: {}\n", plain(&diagram.title), plain(&diagram.description)));
    for (index, node) in diagram.nodes.iter().enumerate() {
        draw_node(&mut text, index, node);
    }
    for edge in &diagram.edges {
        let arrow = match edge.line {
            Line::Solid => "-->",
            Line::Dashed => "-.->",
        };
        let label = if edge.label.is_empty() { String::new() } else { format!("|\"{}\"|", escape(&edge.label)) };
        text.push_str(&format!("  n_{} {arrow}{label} n_{}\n", edge.from, edge.to));
    }
    for note in &diagram.notes {
        text.push_str(&format!("  %% {}\n", plain(note)));
    }
    for (kind, style) in STYLES {
        text.push_str(&format!("  classDef {} {style}\n", kind.as_str()));
    }
    text
}

const STYLES: [(Kind, &str); 10] = [
    (Kind::Internet, "fill:#e2e8f0,stroke:#475569,color:#0f172a"),
    (Kind::Network, "fill:#cffafe,stroke:#0e7490,color:#083344"),
    (Kind::Host, "fill:#f8fafc,stroke:#334155,color:#0f172a"),
    (Kind::Proxy, "fill:#ede9fe,stroke:#6d28d9,color:#2e1065"),
    (Kind::Service, "fill:#dbeafe,stroke:#1d4ed8,color:#172554"),
    (Kind::Database, "fill:#dcfce7,stroke:#15803d,color:#052e16"),
    (Kind::Storage, "fill:#fef3c7,stroke:#b45309,color:#451a03"),
    (Kind::External, "fill:#f1f5f9,stroke:#64748b,color:#0f172a,stroke-dasharray:4 3"),
    (Kind::Agent, "fill:#fce7f3,stroke:#be185d,color:#500724"),
    (Kind::Paper, "fill:#fffbeb,stroke:#a16207,color:#422006"),
];

fn draw_node(text: &mut String, index: usize, node: &Node) {
    let lines: Vec<&str> = std::iter::once(node.title.as_str()).chain(node.lines.iter().map(String::as_str)).collect();
    if node.parts.is_empty() {
        text.push_str(&format!("  n_{index}{}:::{}\n", shape(node.kind, &label(&lines)), node.kind.as_str()));
        return;
    }
    text.push_str(&format!("  subgraph n_{index}[\"{}\"]\n", label(&lines)));
    for (number, part) in node.parts.iter().enumerate() {
        let lines: Vec<&str> =
            [part.title.as_str(), part.line.as_str()].into_iter().filter(|line| !line.is_empty()).collect();
        text.push_str(&format!(
            "    n_{index}_{number}{}:::{}\n",
            shape(part.kind, &label(&lines)),
            part.kind.as_str()
        ));
    }
    text.push_str(&format!("  end\n  class n_{index} {}\n", node.kind.as_str()));
}

fn label(lines: &[&str]) -> String {
    lines.iter().map(|line| escape(line)).collect::<Vec<_>>().join("<br/>")
}

fn shape(kind: Kind, label: &str) -> String {
    match kind {
        Kind::Internet | Kind::Network => format!("([\"{label}\"])"),
        Kind::Database | Kind::Storage => format!("[(\"{label}\")]"),
        _ => format!("[\"{label}\"]"),
    }
}

/// Mermaid reads `#name;` and `#number;` as entities, quotes and backticks as ends, and the rest as HTML.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("#quot;"),
            '#' => escaped.push_str("#35;"),
            '<' => escaped.push_str("#lt;"),
            '>' => escaped.push_str("#gt;"),
            '&' => escaped.push_str("#amp;"),
            '`' | '\\' | '|' | '[' | ']' | '{' | '}' | '(' | ')' | '*' | '_' | ';' | '%' | '$' => {
                escaped.push_str(&format!("#{};", u32::from(c)));
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A text for a line of its own, where nothing can be escaped.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || "{}#;<>%".contains(c) { ' ' } else { c })
        .collect::<String>()
        .trim()
        .to_owned()
}

/// The front matter is YAML, which reads JSON's strings.
fn yaml_string(text: &str) -> String {
    serde_json::Value::from(text.replace(char::is_control, " ")).to_string()
}
