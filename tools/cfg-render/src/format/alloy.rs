//! Alloy's configuration (grafana.com/docs/alloy/latest/get-started/configuration-syntax): blocks with attributes.

/// A block with an optional label, its attributes and inner blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    name: &'static str,
    label: Option<&'static str>,
    items: Vec<(&'static str, Item)>,
    inside: Vec<Block>,
}

/// The value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A text.
    Text(String),
    /// Texts.
    List(Vec<String>),
    /// Texts by name.
    Map(Vec<(String, String)>),
    /// An expression of ours.
    Raw(String),
}

/// A text as a value.
pub fn text(text: impl Into<String>) -> Item {
    Item::Text(text.into())
}

impl Block {
    /// A block.
    pub fn new(name: &'static str, label: Option<&'static str>, items: Vec<(&'static str, Item)>) -> Self {
        Self { name, label, items, inside: Vec::new() }
    }

    /// The same with inner blocks.
    #[must_use]
    pub fn inside(mut self, blocks: Vec<Block>) -> Self {
        self.inside = blocks;
        self
    }
}

/// The text of blocks, as `alloy fmt` leaves it: indented by tabs, equal signs in line.
pub fn write(blocks: &[Block]) -> String {
    let mut out = String::new();
    for (index, block) in blocks.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        write_block(&mut out, block, 0);
    }
    out
}

fn write_block(out: &mut String, block: &Block, depth: usize) {
    let indent = "\t".repeat(depth);
    out.push_str(&indent);
    out.push_str(block.name);
    if let Some(label) = block.label {
        out.push_str(&format!(" \"{label}\""));
    }
    out.push_str(" {\n");
    let width = block.items.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, item) in &block.items {
        out.push_str(&format!("{indent}\t{name:width$} = {}\n", value(item)));
    }
    for (index, inner) in block.inside.iter().enumerate() {
        if index > 0 || !block.items.is_empty() {
            out.push('\n');
        }
        write_block(out, inner, depth + 1);
    }
    out.push_str(&indent);
    out.push_str("}\n");
}

fn value(item: &Item) -> String {
    match item {
        Item::Text(text) => quote(text),
        Item::List(texts) => format!("[{}]", texts.iter().map(|text| quote(text)).collect::<Vec<_>>().join(", ")),
        Item::Map(pairs) => {
            let pairs: Vec<_> = pairs.iter().map(|(name, text)| format!("{} = {}", quote(name), quote(text))).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        Item::Raw(text) => text.clone(),
    }
}

/// A string as Go writes it, on which Alloy's syntax stands.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_written_as_alloy_formats_them() {
        let blocks =
            [Block::new("a.b", Some("c"), vec![("x", text("say \"hi\"\\")), ("long", Item::List(vec!["y".into()]))])
                .inside(vec![Block::new("d", None, vec![("m", Item::Map(vec![("k".into(), "v\n".into())]))])])];
        assert_eq!(
            write(&blocks),
            "a.b \"c\" {\n\tx    = \"say \\\"hi\\\"\\\\\"\n\tlong = [\"y\"]\n\n\td {\n\t\tm = {\"k\" = \"v\\n\"}\n\t}\n}\n"
        );
    }
}
