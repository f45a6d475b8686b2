//! Content negotiation: what a client takes, and which of the two it likes better.

use http::HeaderMap;
use http::header::ACCEPT;
use squall_model::mcp::header::{EVENT_STREAM, JSON};

/// How much a client likes each kind of answer, in thousandths; 0 is not at all (RFC 9110,
/// section 12.4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepts {
    json: u16,
    events: u16,
}

impl Accepts {
    /// Reads the `Accept` headers; none at all means everything (RFC 9110, section 12.5.1). `None`
    /// if neither kind of answer is admitted.
    pub(crate) fn read(headers: &HeaderMap) -> Option<Self> {
        let accepts = if headers.contains_key(ACCEPT) {
            Self { json: quality_of(headers, JSON), events: quality_of(headers, EVENT_STREAM) }
        } else {
            Self { json: 1000, events: 1000 }
        };
        (accepts.json > 0 || accepts.events > 0).then_some(accepts)
    }

    /// Whether an answer that is one message goes out as events. JSON is cheaper.
    pub(crate) fn prefers_events(self) -> bool {
        self.events > self.json
    }

    /// Whether an answer of several messages can go out as events.
    pub(crate) fn takes_events(self) -> bool {
        self.events > 0
    }
}

/// Whether a client asks for events by name, as a GET stream has to be asked for.
pub(crate) fn names_events(headers: &HeaderMap) -> bool {
    ranges(headers).any(|range| range.is(EVENT_STREAM) && range.quality > 0)
}

struct Range<'a> {
    media: &'a str,
    quality: u16,
}

impl Range<'_> {
    fn is(&self, media: &str) -> bool {
        self.media.eq_ignore_ascii_case(media)
    }

    /// How closely it fits `media`: 3 for the type itself, 1 for `*/*`, 0 for not at all.
    fn precedence(&self, media: &str) -> u8 {
        let family = media.split('/').next().unwrap_or_default();
        match self.media.split_once('/') {
            _ if self.is(media) => 3,
            Some((own, "*")) if own.eq_ignore_ascii_case(family) => 2,
            Some(("*", "*")) => 1,
            _ => 0,
        }
    }
}

fn ranges(headers: &HeaderMap) -> impl Iterator<Item = Range<'_>> {
    headers
        .get_all(ACCEPT)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(read_range)
}

fn read_range(text: &str) -> Range<'_> {
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default();
    let weight = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
    });
    Range { media, quality: weight.map_or(1000, thousandths) }
}

/// A weight that is none counts as 1, the default.
fn thousandths(weight: &str) -> u16 {
    match weight.parse::<f32>() {
        Ok(value) if (0.0..=1.0).contains(&value) => {
            (0u16..=1000).find(|step| f32::from(*step) + 0.5 > value * 1000.0).unwrap_or(1000)
        }
        _ => 1000,
    }
}

fn quality_of(headers: &HeaderMap, media: &str) -> u16 {
    ranges(headers)
        .map(|range| (range.precedence(media), range.quality))
        .filter(|(precedence, _)| *precedence > 0)
        .max()
        .map_or(0, |(_, quality)| quality)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(values: &[&str]) -> HeaderMap {
        let parse = |value: &&str| (ACCEPT, value.parse().expect(value));
        values.iter().map(parse).collect()
    }

    /// `Some(true)`: events; `Some(false)`: JSON; `None`: 406.
    fn check(values: &[&str], expected: Option<bool>) {
        let accepts = Accepts::read(&headers(values));
        assert_eq!(accepts.map(Accepts::prefers_events), expected, "{values:?}");
    }

    #[test]
    fn json_is_preferred_unless_the_client_likes_events_better() {
        check(&[], Some(false));
        check(&["*/*"], Some(false));
        check(&["application/json, text/event-stream"], Some(false));
        check(&["text/event-stream, application/json"], Some(false));
        check(&["application/json", "text/event-stream"], Some(false));
        check(&["text/event-stream"], Some(true));
        check(&["TEXT/Event-Stream; charset=utf-8"], Some(true));
        check(&["text/*"], Some(true));
        check(&["application/*"], Some(false));
        check(&["application/json;q=0.5, text/event-stream"], Some(true));
        check(&["application/json;q=0.9, */*;q=0.1"], Some(false));
        check(&["application/json;q=0, */*"], Some(true));
        check(&["application/json;q=nonsense"], Some(false));
    }

    #[test]
    fn a_client_that_takes_neither_is_refused() {
        check(&["text/html"], None);
        check(&[""], None);
        check(&["application/json;q=0"], None);
        check(&["application/json;q=0.0, text/event-stream; q=0"], None);
        check(&["*"], None);
    }

    #[test]
    fn a_get_stream_is_asked_for_by_name() {
        assert!(names_events(&headers(&["application/json, text/event-stream"])));
        for other in [&["*/*"][..], &["text/event-stream;q=0"], &[]] {
            assert!(!names_events(&headers(other)), "{other:?}");
        }
    }
}
