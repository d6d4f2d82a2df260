//! Heads of HTTP/1 messages, read as RFC 9112 writes them and in no other way.

/// The start line and the fields of a request or an answer.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) raw: Vec<u8>,
    pub(crate) start: String,
    pub(crate) fields: Vec<(String, String)>,
}

/// How a message's body is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    Nothing,
    Length(usize),
    Chunked,
    ToTheEnd,
}

impl Head {
    /// What a lenient parser forgives is a mistake here: such leniency is what request smuggling
    /// lives on.
    pub(crate) fn strictly(raw: &[u8]) -> Result<Self, String> {
        let text = raw.strip_suffix(b"\r\n\r\n").ok_or("the head does not end in an empty line")?;
        let mut lines = text
            .split_inclusive(|&byte| byte == b'\n')
            .map(|line| line.strip_suffix(b"\r\n").unwrap_or(line));
        let start = readable(lines.next().unwrap_or_default())?;
        let fields = lines.map(field).collect::<Result<_, _>>()?;
        Ok(Self { raw: raw.to_vec(), start, fields })
    }

    /// The one value of a field; several lines of it are a mistake of the caller, who should have
    /// asked for `all`.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() < 2, "several lines of {name} in {self:?}");
        all.first().copied()
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.fields
            .iter()
            .filter(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect()
    }

    pub(crate) fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    pub(crate) fn target(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    pub(crate) fn status(&self) -> u16 {
        self.target().parse().unwrap_or_else(|_| panic!("no status in {:?}", self.start))
    }

    /// Whether either side asked for the connection to end after this message.
    pub(crate) fn says_close(&self) -> bool {
        let options = self.all("connection").join(",").to_ascii_lowercase();
        options.split(',').any(|option| option.trim() == "close")
            || (self.start.contains("HTTP/1.0") && !options.contains("keep-alive"))
    }

    /// Framing of a request, where every doubt is a mistake.
    pub(crate) fn request_framing(&self) -> Result<Framing, String> {
        if self.all("host").len() != 1 {
            return Err(format!("{} Host fields", self.all("host").len()));
        }
        match (&self.all("transfer-encoding")[..], &self.all("content-length")[..]) {
            ([], []) => Ok(Framing::Nothing),
            ([], [length]) => {
                length.parse().map(Framing::Length).map_err(|_| format!("Content-Length: {length}"))
            }
            ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
            (codings, lengths) => {
                Err(format!("Transfer-Encoding {codings:?} with Content-Length {lengths:?}"))
            }
        }
    }

    pub(crate) fn answer_framing(&self, method: &str) -> Result<Framing, String> {
        if method == "HEAD" || matches!(self.status(), 100..=199 | 204 | 304) {
            return Ok(Framing::Nothing);
        }
        match (&self.all("transfer-encoding")[..], &self.all("content-length")[..]) {
            ([], []) => Ok(Framing::ToTheEnd),
            ([], [length]) => {
                length.parse().map(Framing::Length).map_err(|_| format!("Content-Length: {length}"))
            }
            ([coding], []) if coding.eq_ignore_ascii_case("chunked") => Ok(Framing::Chunked),
            (codings, lengths) => {
                Err(format!("Transfer-Encoding {codings:?} with Content-Length {lengths:?}"))
            }
        }
    }
}

/// One field line without its line end.
pub(crate) fn field(line: &[u8]) -> Result<(String, String), String> {
    let line = readable(line)?;
    let (name, value) = line.split_once(':').ok_or_else(|| format!("no colon in {line:?}"))?;
    let is_token = |char: char| char.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(char);
    if name.is_empty() || !name.chars().all(is_token) {
        return Err(format!("{name:?} is no field name"));
    }
    Ok((name.to_owned(), value.trim_matches([' ', '\t']).to_owned()))
}

fn readable(line: &[u8]) -> Result<String, String> {
    match line.iter().find(|&&byte| (byte < b' ' && byte != b'\t') || byte == 0x7f) {
        Some(byte) => Err(format!("byte {byte:#04x} in {:?}", String::from_utf8_lossy(line))),
        None => Ok(String::from_utf8_lossy(line).into_owned()),
    }
}
