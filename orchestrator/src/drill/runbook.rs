//! The Markdown around a drill: its heading, and the one fenced block that is run.

use std::ops::Range;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::DrillError;

/// A runbook, taken apart.
#[derive(Debug)]
pub(super) struct Runbook<'a> {
    pub(super) path: PathBuf,
    /// The first heading's text.
    pub(super) heading: Option<String>,
    /// What stands in the fenced block.
    pub(super) block: &'a str,
    /// How many lines of the file stand before it.
    pub(super) lines_before: usize,
}

/// Finds the drill.
pub(super) fn parse<'a>(path: &Path, text: &'a str) -> Result<Runbook<'a>, DrillError> {
    let mut blocks = Vec::new();
    let mut heading: Option<String> = None;
    let mut in_heading = false;
    let mut in_block = None;
    for (event, range) in Parser::new_ext(text, Options::empty()).into_offset_iter() {
        match event {
            Event::Start(Tag::Heading { .. }) => in_heading = heading.is_none(),
            Event::End(TagEnd::Heading(_)) => in_heading = false,
            Event::Text(words) | Event::Code(words) if in_heading => {
                heading.get_or_insert_default().push_str(&words);
            }
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) if is_drill(&info) => {
                in_block = Some(inner_start(text, &range)..inner_start(text, &range));
            }
            Event::Text(_) if in_block.is_some() => {
                in_block = in_block.map(|block| block.start..range.end);
            }
            Event::End(TagEnd::CodeBlock) => blocks.extend(in_block.take()),
            _ => {}
        }
    }
    let path = path.to_owned();
    match &blocks[..] {
        [] => Err(DrillError::NoDrill { path }),
        [block] => Ok(Runbook {
            path,
            heading,
            block: &text[block.clone()],
            lines_before: lines_before(text, block.start),
        }),
        [first, second, ..] => Err(DrillError::TwoDrills {
            path,
            first: lines_before(text, first.start),
            second: lines_before(text, second.start),
        }),
    }
}

fn is_drill(info: &str) -> bool {
    info.split_whitespace().eq(["yaml", "drill"])
}

/// Where the line after the opening fence begins.
fn inner_start(text: &str, block: &Range<usize>) -> usize {
    text[block.clone()].find('\n').map_or(block.end, |end| block.start + end + 1)
}

fn lines_before(text: &str, offset: usize) -> usize {
    text[..offset].matches('\n').count()
}
