//! A text that a schema's `pattern` accepts, drawn from the pattern itself.

use std::ops::RangeInclusive;

use rand::RngExt as _;
use regex_syntax::hir::{Class, Hir, HirKind, Repetition};
use squall_model::chance::Draw;

/// How often more than it must something is repeated that has no upper end, tried in turn until the
/// text is long enough.
const SPARE: [u32; 5] = [0, 1, 8, 64, 512];
/// How many parts of a pattern are written at most, repetitions counted.
const MOST_PARTS: u32 = 8_192;

/// A text of so many characters that matches. None where the pattern, which JSON Schema has in the
/// dialect of ECMA-262, is more than a regular expression (it looks ahead, say), or asks for too much.
pub(super) fn text(pattern: &str, lengths: RangeInclusive<u64>, draw: &mut Draw) -> Option<String> {
    let pattern = regex_syntax::parse(pattern).ok()?;
    SPARE.into_iter().find_map(|spare| {
        let mut writer = Writer { text: String::new(), spare, parts: 0, draw };
        writer.write(&pattern)?;
        let length = writer.text.chars().count() as u64;
        lengths.contains(&length).then_some(writer.text)
    })
}

struct Writer<'a> {
    text: String,
    spare: u32,
    parts: u32,
    draw: &'a mut Draw,
}

impl Writer<'_> {
    fn write(&mut self, part: &Hir) -> Option<()> {
        self.parts += 1;
        if self.parts > MOST_PARTS {
            return None;
        }
        match part.kind() {
            HirKind::Empty | HirKind::Look(_) => Some(()),
            HirKind::Literal(literal) => {
                self.text.push_str(std::str::from_utf8(&literal.0).ok()?);
                Some(())
            }
            HirKind::Class(class) => {
                let char = self.one_of(class)?;
                self.text.push(char);
                Some(())
            }
            HirKind::Repetition(repetition) => self.repeat(repetition),
            HirKind::Capture(capture) => self.write(&capture.sub),
            HirKind::Concat(parts) => parts.iter().try_for_each(|part| self.write(part)),
            HirKind::Alternation(parts) => self.write(parts.first()?),
        }
    }

    fn repeat(&mut self, repetition: &Repetition) -> Option<()> {
        let enough = repetition.min.saturating_add(self.spare);
        let times = repetition.max.map_or(enough, |most| enough.min(most));
        (0..times).try_for_each(|_| self.write(&repetition.sub))
    }

    /// A letter or digit if there is one, since classes such as `\d` and `[^/]` mean more characters
    /// here than in ECMA-262; else another visible character, else the first.
    fn one_of(&mut self, class: &Class) -> Option<char> {
        let ranges: Vec<_> = match class {
            Class::Unicode(class) => class.ranges().iter().map(|r| r.start()..=r.end()).collect(),
            Class::Bytes(class) => {
                class.ranges().iter().map(|r| r.start().into()..=r.end().into()).collect()
            }
        };
        let holds = |char: &char| ranges.iter().any(|range| range.contains(char));
        let visible: Vec<char> = (' '..='~').filter(holds).collect();
        let plain: Vec<char> =
            visible.iter().copied().filter(char::is_ascii_alphanumeric).collect();
        let from = if plain.is_empty() { visible } else { plain };
        if from.is_empty() {
            return ranges.first().map(|range| *range.start());
        }
        Some(from[self.draw.random_range(0..from.len())])
    }
}
