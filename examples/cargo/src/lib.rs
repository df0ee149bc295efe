//! How high the water stands in the harbour, in centimetres, between one low tide and the next.

/// Hours from a low tide to the high tide after it.
const RISE: u32 = 6;

/// Say how many twelfths of its range the tide has risen after so many hours: 1, 2, 3, 3, 2, 1 of them, hour by hour.
pub fn twelfths(hours: u32) -> u32 {
    [1, 2, 3, 3, 2, 1].iter().take(hours as usize + 1).sum()
}

/// Return the depth after so many hours, rising from `low` to `high` and falling again in the next six hours.
pub fn depth(low: u32, high: u32, hours: u32) -> u32 {
    let hours = hours % (2 * RISE);
    low + (high - low) * twelfths(hours) / 12
}

#[cfg(test)]
mod tests {
    use super::twelfths;

    #[test]
    fn the_rise_ends_after_six_hours() {
        assert_eq!(
            (0..=6).map(twelfths).collect::<Vec<_>>(),
            [0, 1, 3, 6, 9, 11, 12]
        );
    }
}
