//! Which form of an answer a client would rather have (RFC 9110, section 12.5.1).

use http::{HeaderMap, header::ACCEPT};

/// Media ranges with their weights in thousandths.
#[derive(Debug, Default)]
pub(crate) struct Wishes(Vec<(String, u16)>);

/// How much something is wanted: by its weight, and where that is equal by how closely it is named. Who says
/// `text/html, */*` takes anything, and has a page in mind.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Liking {
    weight: u16,
    closeness: u8,
}

/// What our own answers can be: for programs, for people with a browser, for people without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Problem,
    Html,
    Text,
}

impl Wishes {
    /// As `Accept` tells them.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        Self::of_values(headers.get_all(ACCEPT).into_iter().map(AsRef::as_ref))
    }

    /// The same of the values of its lines.
    pub(crate) fn of_values<'a>(values: impl Iterator<Item = &'a [u8]>) -> Self {
        let values = values.filter_map(|value| std::str::from_utf8(value).ok());
        Self(values.flat_map(|value| value.split(',')).map(range).collect())
    }

    /// For what goes by these names, the first that is mentioned.
    pub(crate) fn liking(&self, types: &[&str]) -> Liking {
        let mut types = types.iter().copied().chain(["*/*"]);
        let named = types.find_map(|name| self.0.iter().find(|(range, _)| range == name));
        // What is not wanted is so however closely it is named.
        let wanted = named.filter(|(_, weight)| *weight > 0);
        wanted.map(|(range, weight)| Liking::new(*weight, range)).unwrap_or_default()
    }

    /// What a client likes equally is given in this order.
    pub(crate) fn form(&self) -> Form {
        let forms = [
            (Form::Problem, &["application/problem+json", "application/json", "application/*"][..]),
            (Form::Html, &["text/html", "application/xhtml+xml", "text/*"]),
            (Form::Text, &["text/plain", "text/*"]),
        ];
        let mut best = (Form::Problem, Liking::default());
        for (form, types) in forms {
            let liking = self.liking(types);
            if liking > best.1 {
                best = (form, liking);
            }
        }
        best.0
    }
}

impl Liking {
    fn new(weight: u16, range: &str) -> Self {
        let closeness = match range.strip_suffix("/*") {
            None => 2,
            Some("*") => 0,
            Some(_) => 1,
        };
        Self { weight, closeness }
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
    use super::*;

    fn wishes(accept: &str) -> Wishes {
        Wishes::of_values([accept.as_bytes()].into_iter())
    }

    #[test]
    fn what_is_named_goes_before_what_may_be_anything() {
        let wishes = wishes("a/b;version=1.0.0;q=0.5, A/C , d/*, e/f;q=0, */*;q=0.1");
        let weight = |types: &[&str]| wishes.liking(types).weight;
        assert_eq!(
            [weight(&["a/b"]), weight(&["a/c"]), weight(&["x/y", "a/b"]), weight(&["x/y"])],
            [500, 1000, 500, 100]
        );
        assert!(wishes.liking(&["a/c"]) > wishes.liking(&["d/e", "d/*"]));
        assert!(wishes.liking(&["x/y"]) > wishes.liking(&["e/f"]));
        assert_eq!(wishes.liking(&["e/f"]), Wishes::default().liking(&["e/f"]));
    }

    #[test]
    fn everybody_gets_the_form_that_is_liked_best() {
        assert_eq!(Wishes::default().form(), Form::Problem);
        for accept in PAGES {
            assert_eq!(wishes(accept).form(), Form::Html, "{accept}");
        }
        for accept in PROGRAMS {
            assert_eq!(wishes(accept).form(), Form::Problem, "{accept}");
        }
        for accept in ["text/plain", "text/plain, text/html;q=0.9", "text/plain, */*"] {
            assert_eq!(wishes(accept).form(), Form::Text, "{accept}");
        }
    }

    /// What browsers and those who stand in for them say when they load a page.
    const PAGES: [&str; 12] = [
        // Chrome and Edge.
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,application/signed-exchange;v=b3;q=0.7",
        // Firefox, Safari.
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        // Firefox from 92 to 127.
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        // Internet Explorer 11.
        "text/html, application/xhtml+xml, */*",
        // Android's first, and many a tool.
        "text/html,*/*",
        "*/*,text/html",
        // Lynx.
        "text/html, text/plain, text/sgml, text/css, application/xhtml+xml, */*;q=0.01",
        // w3m.
        "text/html, text/*;q=0.5, image/*, application/*",
        // Java's HttpURLConnection.
        "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2",
        // jQuery's load().
        "text/html, */*; q=0.01",
        // Turbo.
        "text/vnd.turbo-stream.html, text/html, application/xhtml+xml",
        "TEXT/HTML",
    ];

    /// Scripts and programs.
    const PROGRAMS: [&str; 9] = [
        // curl, wget, fetch(), htmx.
        "*/*",
        // axios.
        "application/json, text/plain, */*",
        // jQuery's getJSON().
        "application/json, text/javascript, */*; q=0.01",
        "application/json",
        "application/problem+json",
        "text/html;q=0.2, application/json",
        "text/html, application/json",
        "text/html;q=0, */*",
        "image/avif,image/webp,image/png,image/svg+xml,image/*;q=0.8",
    ];
}
