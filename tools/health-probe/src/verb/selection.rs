//! `--only` and `--skip`.

use cli::{Failure, did_you_mean};
use contract::Exit;

use crate::checklist::Checklist;

/// Which checks are looked at: by id, or by `tag:T`.
pub(super) fn select(
    checklist: &Checklist,
    only: &[String],
    skip: &[String],
    no_needs: bool,
) -> Result<Vec<bool>, Failure> {
    let count = checklist.items.len();
    let mut chosen = vec![only.is_empty(); count];
    if !only.is_empty() {
        let mut wanted = Vec::new();
        for word in only {
            wanted.extend(find(checklist, word, "--only")?);
        }
        // A check without what it needs would have no explanation.
        let wanted = if no_needs { wanted.into_iter().collect() } else { checklist.graph.with_needs(wanted) };
        for node in wanted {
            chosen[node] = true;
        }
    }
    for word in skip {
        for node in find(checklist, word, "--skip")? {
            chosen[node] = false;
        }
    }
    Ok(chosen)
}

fn find(checklist: &Checklist, word: &str, flag: &str) -> Result<Vec<usize>, Failure> {
    let matches = |item: &crate::checklist::Item| match word.strip_prefix("tag:") {
        Some(tag) => item.tags.iter().any(|own| own == tag),
        None => item.id == word,
    };
    let found: Vec<usize> = (0..checklist.items.len()).filter(|&node| matches(&checklist.items[node])).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let mut tags: Vec<String> =
        checklist.items.iter().flat_map(|item| item.tags.iter().map(|tag| format!("tag:{tag}"))).collect();
    tags.sort();
    tags.dedup();
    let names = checklist.items.iter().map(|item| item.id.as_str()).chain(tags.iter().map(String::as_str));
    let near = did_you_mean(word, names).map(|near| format!("did you mean {near}?"));
    let failure = Failure::new(Exit::Usage, "unknown_check", format!("{flag}: there is no check {word}"));
    Err(failure.hint(near.unwrap_or_else(|| "give the id of a check, or tag:TAG".into())))
}
