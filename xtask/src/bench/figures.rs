//! What was measured of one thing, round by round, and how it is shown.

use std::collections::BTreeMap;

/// One figure of all targets, in every round.
pub(super) struct Figures {
    what: String,
    unit: &'static str,
    /// The target that the others are compared with.
    reference: &'static str,
    rounds: BTreeMap<usize, Vec<f64>>,
    names: Vec<&'static str>,
}

impl Figures {
    pub(super) fn new(
        what: impl Into<String>,
        unit: &'static str,
        reference: &'static str,
    ) -> Self {
        let (rounds, names) = (BTreeMap::new(), Vec::new());
        Self { what: what.into(), unit, reference, rounds, names }
    }

    /// One target's figure of a round that all take part in.
    pub(super) fn add(&mut self, target: &'static str, figure: f64) {
        let place = self.names.iter().position(|name| *name == target).unwrap_or_else(|| {
            self.names.push(target);
            self.names.len() - 1
        });
        self.rounds.entry(place).or_default().push(figure);
    }

    fn of(&self, name: &str) -> &[f64] {
        let place = self.names.iter().position(|other| *other == name);
        place.and_then(|place| self.rounds.get(&place)).map_or(&[], Vec::as_slice)
    }

    /// The median of the ratios to the reference, each within its round.
    fn ratio(&self, name: &str) -> Option<f64> {
        let pairs = self.of(name).iter().zip(self.of(self.reference));
        let ratios: Vec<f64> = pairs.map(|(figure, other)| figure / other).collect();
        (!ratios.is_empty()).then(|| median(&ratios))
    }

    pub(super) fn print(&self) {
        println!("\n{} ({})\n", self.what, self.unit);
        let reference = format!("to {}", self.reference);
        println!("{:<32} {:>12} {:>12} {:>12} {reference:>12}", "", "median", "least", "most");
        for name in &self.names {
            let figures = self.of(name);
            let least = figures.iter().copied().fold(f64::INFINITY, f64::min);
            let most = figures.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let ratio = self.ratio(name).map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            let (median, least, most) = (show(median(figures)), show(least), show(most));
            println!("{name:<32} {median:>12} {least:>12} {most:>12} {ratio:>12}");
        }
    }

    pub(super) fn print_json(&self) {
        for name in &self.names {
            let rounds: Vec<String> = self.of(name).iter().map(f64::to_string).collect();
            println!(
                r#"{{"what":"{}","unit":"{}","target":"{name}","rounds":[{}]}}"#,
                self.what,
                self.unit,
                rounds.join(",")
            );
        }
    }
}

fn show(figure: f64) -> String {
    match figure.abs() {
        large if large >= 1000.0 => format!("{figure:.0}"),
        middle if middle >= 10.0 => format!("{figure:.1}"),
        _ => format!("{figure:.3}"),
    }
}

/// The middle one; of an even number, the lower of the two.
pub(super) fn median(figures: &[f64]) -> f64 {
    quantile(figures, 0.5)
}

/// The figure that so much of all is not above.
pub(super) fn quantile(figures: &[f64], share: f64) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    let below = |place: &usize| (*place as f64 + 1.0) < share * sorted.len() as f64;
    let place = (0..sorted.len()).take_while(below).count();
    sorted.get(place).or(sorted.last()).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_is_taken_within_its_round() {
        let mut figures = Figures::new("rate", "requests/s", "nginx");
        for (nginx, squall) in [(10.0, 20.0), (100.0, 100.0), (1000.0, 500.0)] {
            figures.add("nginx", nginx);
            figures.add("squall", squall);
        }
        assert_eq!(figures.ratio("squall"), Some(1.0));
        assert_eq!(figures.ratio("nobody"), None);
    }

    #[test]
    fn a_quantile_is_one_of_the_figures() {
        let figures = [4.0, 1.0, 3.0, 2.0];
        assert_eq!((median(&figures), quantile(&figures, 0.99)), (2.0, 4.0));
    }
}
