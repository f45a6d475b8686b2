//! Numbers in words: counts, times and shares as sentences write them.

/// A time in milliseconds, short: `0.82 ms`, `45 ms`, `2.41 s`.
pub(crate) fn time(ms: f64) -> String {
    match ms {
        ms if ms <= 0.0 => "0 ms".to_owned(),
        ms if ms < 9.95 => format!("{ms:.1} ms"),
        ms if ms < 999.5 => format!("{ms:.0} ms"),
        ms if ms < 9_995.0 => format!("{} s", trimmed(format!("{:.2}", ms / 1e3))),
        ms => format!("{} s", trimmed(format!("{:.1}", ms / 1e3))),
    }
}

/// `5` for `5.00`; anything else stays as it is.
fn trimmed(number: String) -> String {
    match number.split_once('.') {
        Some((whole, decimals)) if decimals.bytes().all(|b| b == b'0') => whole.to_owned(),
        _ => number,
    }
}

/// The time, or a dash where there is none.
pub(crate) fn time_or_dash(ms: Option<f64>) -> String {
    ms.map_or_else(|| "–".to_owned(), time)
}

/// A share from 0 to 1 in per cent: `99.8 %`. It never says 100 % of what is less.
pub(crate) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent.fract().abs() < f64::EPSILON {
        format!("{percent:.0} %")
    } else if percent > 99.9 && share < 1.0 {
        ">99.9 %".to_owned()
    } else {
        format!("{percent:.1} %")
    }
}

/// A count and its noun: `1 session`, `3 sessions`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// The first ten, and how many more.
pub(crate) fn first_ten(names: &[String]) -> String {
    let named = names.iter().take(10).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(10) {
        0 => named,
        more => format!("{named} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        for (ms, text) in [
            (0.0, "0 ms"),
            (0.82, "0.8 ms"),
            (9.96, "10 ms"),
            (45.2, "45 ms"),
            (999.6, "1 s"),
            (2_412.0, "2.41 s"),
            (61_000.0, "61 s"),
        ] {
            assert_eq!(time(ms), text);
        }
    }

    #[test]
    fn a_share_below_one_is_never_called_100_per_cent() {
        for (share, text) in
            [(1.0, "100 %"), (0.99999, ">99.9 %"), (0.5, "50 %"), (0.3333, "33.3 %"), (0.0, "0 %")]
        {
            assert_eq!(percent(share), text);
        }
    }

    #[test]
    fn a_long_list_is_cut_and_says_by_how_much() {
        let names: Vec<_> = (1..=12).map(|n| n.to_string()).collect();
        assert_eq!(first_ten(&names), "1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more");
        assert_eq!(first_ten(&names[..2]), "1, 2");
    }
}
