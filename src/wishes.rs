//! Which form of an answer a client would rather have (RFC 9110, section 12.5.1).

use http::{HeaderMap, header::ACCEPT};

/// Media ranges with their weights in thousandths.
#[derive(Debug, Default)]
pub(crate) struct Wishes(Vec<(String, u16)>);

impl Wishes {
    /// As `Accept` tells them.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
        Self(values.flat_map(|value| value.split(',')).map(range).collect())
    }

    /// The weight of what goes by these names, the first that is mentioned; 0: it is not wanted.
    pub(crate) fn liking(&self, types: &[&str]) -> u16 {
        let weight =
            |name: &str| self.0.iter().find(|(range, _)| range == name).map(|(_, weight)| *weight);
        types.iter().find_map(|name| weight(name)).or_else(|| weight("*/*")).unwrap_or(0)
    }
}

fn range(text: &str) -> (String, u16) {
    let mut parts = text.split(';').map(str::trim);
    let name = parts.next().unwrap_or_default().to_ascii_lowercase();
    let weight = parts
        .filter_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")))
        .find_map(|weight| weight.parse::<f32>().ok())
        .unwrap_or(1.0);
    // Within 0 to 1000 after the clamp.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped")]
    let thousandths = (weight.clamp(0.0, 1.0) * 1000.0) as u16;
    (name, thousandths)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_is_named_goes_before_what_may_be_anything() {
        let value = HeaderValue::from_static("a/b;version=1.0.0;q=0.5, A/C , */*;q=0.1");
        let wishes = Wishes::of(&HeaderMap::from_iter([(ACCEPT, value)]));
        let likings = [&["a/b"][..], &["a/c"], &["x/y", "a/b"], &["x/y"]];
        assert_eq!(likings.map(|types| wishes.liking(types)), [500, 1000, 500, 100]);
        assert_eq!(Wishes::default().liking(&["a/b"]), 0);
    }
}
