//! Figures as findings and lists tell them.

use std::fmt::Display;

/// So many of something: `1 route`, `2 routes`.
pub(crate) fn counted<N: Copy + Display + PartialEq + From<u8>>(
    count: N,
    one: &str,
    many: &str,
) -> String {
    let what = if count == N::from(1) { one } else { many };
    format!("{count} {what}")
}

/// A number with its digits in groups of three.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A part of a whole in per cent, with one digit behind the point.
#[expect(clippy::cast_precision_loss, reason = "no table and no disk has 2^52 of anything")]
pub(super) fn percent(part: u64, whole: u64) -> f64 {
    (part as f64 * 1000.0 / whole as f64).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_something_is_told_as_one() {
        assert_eq!(counted(1_usize, "route leads", "routes lead"), "1 route leads");
        assert_eq!(counted(0_u64, "route leads", "routes lead"), "0 routes lead");
        assert_eq!(counted(1.0, "endpoint", "endpoints"), "1 endpoint");
    }
}
