//! Parts of connections, and the part a rule's `-m statistic` takes.

use crate::dump::iptables::{Match, Rule, Statistic};

/// The kernel holds a probability as an integer out of 2^31 (`xt_statistic.c`; libxt_statistic rounds).
const KERNEL_ONE: f64 = 2_147_483_648.0;

/// A part of the arriving connections, 0..=1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    pub(super) value: f64,
    /// False if a rule on the way cannot be judged, so that `value` says nothing.
    pub(super) known: bool,
}

impl Part {
    /// No connection.
    pub(super) const NONE: Self = Self { value: 0.0, known: true };
    /// Every connection.
    pub(super) const ALL: Self = Self { value: 1.0, known: true };
    /// It cannot be told how many.
    pub(super) const UNKNOWN: Self = Self { value: 0.0, known: false };

    /// `part` of this part.
    pub(super) fn of(self, part: Self) -> Self {
        // Nothing arrives here, so that it does not matter what would be taken.
        if self.is_nothing() {
            return self;
        }
        Self { value: self.value * part.value, known: self.known && part.known }
    }

    /// What is left when `part` of it is taken.
    pub(super) fn without(self, part: Self) -> Self {
        if self.is_nothing() {
            return self;
        }
        Self { value: self.value * (1.0 - part.value), known: self.known && part.known }
    }

    fn is_nothing(self) -> bool {
        self.known && self.value <= 0.0
    }

    /// Both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self { value: self.value + other.value, known: self.known && other.known }
    }

    /// The value, if it is known.
    pub(super) fn known(self) -> Option<f64> {
        self.known.then_some(self.value)
    }
}

/// The part of the connections that meet a rule's other conditions and are taken by its `-m statistic`.
pub(super) fn share(rule: &Rule<'_>) -> Part {
    rule.matches.iter().fold(Part::ALL, |part, item| match item {
        Match::Statistic(statistic) => part.of(probability(statistic)),
        _ => part,
    })
}

/// The same as a number, 0..=1; `None` where the text of a condition tells no probability.
pub fn share_of(rule: &Rule<'_>) -> Option<f64> {
    share(rule).known()
}

/// As the kernel holds it; unknown if the text is no probability.
pub(super) fn probability_of(statistic: &Statistic<'_>) -> Option<f64> {
    probability(statistic).known()
}

/// As the kernel holds `--mode random --probability`; `None` if the text is no probability.
pub(super) fn random(text: &str) -> Option<f64> {
    text.parse::<f64>().ok().filter(|p| (0.0..=1.0).contains(p)).map(|p| (p * KERNEL_ONE).round() / KERNEL_ONE)
}

fn probability(statistic: &Statistic<'_>) -> Part {
    let value = match (statistic.mode, statistic.probability, statistic.every) {
        ("random", Some(text), _) => random(text),
        // One packet of every n, which one does not matter in the long run.
        ("nth", _, Some(text)) => text.parse::<u32>().ok().filter(|n| *n > 0).map(|n| 1.0 / f64::from(n)),
        _ => None,
    };
    match value {
        Some(value) if statistic.not => Part { value: 1.0 - value, known: true },
        Some(value) => Part { value, known: true },
        None => Part::UNKNOWN,
    }
}
