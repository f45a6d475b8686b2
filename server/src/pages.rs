//! Lists in pages, each but the last with a cursor to the next.

use std::num::NonZeroUsize;

/// A cursor that this server did not give out.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a cursor of this list: pass a `nextCursor` as it was given, or none to begin"
)]
pub(crate) struct InvalidCursor(String);

/// One page of a list.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page<'a, T> {
    pub(crate) items: &'a [T],
    /// Where the next page begins, to be handed back; `None` on the last.
    pub(crate) next_cursor: Option<String>,
}

/// The page that begins at `cursor`, or the first.
pub(crate) fn page<'a, T>(
    items: &'a [T],
    cursor: Option<&str>,
    size: NonZeroUsize,
) -> Result<Page<'a, T>, InvalidCursor> {
    let start = cursor.map_or(Ok(0), |text| read_cursor(text, items.len()))?;
    let end = start.saturating_add(size.get()).min(items.len());
    Ok(Page {
        items: &items[start..end],
        next_cursor: (end < items.len()).then(|| write_cursor(end)),
    })
}

fn write_cursor(start: usize) -> String {
    format!("after-{start:x}")
}

fn read_cursor(text: &str, len: usize) -> Result<usize, InvalidCursor> {
    let invalid = || InvalidCursor(text.chars().take(40).collect());
    let hex = text.strip_prefix("after-").ok_or_else(invalid)?;
    let start = usize::from_str_radix(hex, 16).map_err(|_| invalid())?;
    let is_ours = 0 < start && start < len && write_cursor(start) == text;
    is_ours.then_some(start).ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: NonZeroUsize = NonZeroUsize::new(2).expect("not zero");

    #[test]
    fn the_pages_put_together_are_the_list() {
        let list = [1, 2, 3, 4, 5];
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = page(&list, cursor.as_deref(), TWO).expect("a cursor of ours");
            seen.extend_from_slice(page.items);
            cursor = page.next_cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen, list);
    }

    #[test]
    fn a_cursor_of_somebody_else_is_refused() {
        for cursor in ["", "1", "after-", "after-0", "after-5", "after-+1", "after-01"] {
            assert!(page(&[1, 2, 3], Some(cursor), TWO).is_err(), "{cursor}");
        }
    }
}
