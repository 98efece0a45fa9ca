//! "did you mean".

/// The candidate nearest to what was written, if one is near enough to be meant.
pub fn did_you_mean<'a>(written: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let best = candidates.into_iter().map(|candidate| (strsim::jaro_winkler(written, candidate), candidate));
    let (score, candidate) = best.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (score > 0.78).then_some(candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_but_not_far() {
        assert_eq!(did_you_mean("recrods", ["records", "name", "mode"]), Some("records"));
        assert_eq!(did_you_mean("adress", ["address", "port"]), Some("address"));
        assert_eq!(did_you_mean("zzz", ["records", "name"]), None);
    }
}
