//! Finds any of many byte strings in a text at memory-like speed.
//!
//! Every pattern has a window of `width` bytes, the length of the shortest. A text that holds the pattern holds,
//! at one of every `width - 3` successive places, four bytes (a *gram*) of that window. So only every
//! `width - 3`th gram of the text is looked up, in a bitmap that fits the cache; what the bitmap lets through is
//! compared in full. The looks do not depend on each other, so a processor does several at a time, where an
//! automaton has to wait for each byte's state: some times the speed of Aho-Corasick with a hundred patterns.

use std::collections::HashMap;

/// Bytes of a gram.
const GRAM: usize = 4;
/// The widest window: it bounds the number of grams per pattern.
const WIDEST: usize = 16;

/// Short hashes of grams: what fits the first cache beside the text.
const COARSE: usize = 1 << 15;

/// Byte strings to look for.
pub(super) struct Grams {
    /// The patterns, folded if case does not matter.
    patterns: Vec<Vec<u8>>,
    /// Bits that make upper and lower case one; zero if case matters.
    fold: u32,
    /// How far the looks at a text may lie apart.
    stride: usize,
    /// One byte per short hash of a gram: cheaper to look at than a bit, and of a size known beforehand.
    coarse: Vec<u8>,
    /// One bit per hash of a gram that some pattern holds.
    bitmap: Vec<u8>,
    /// How far a hash is shifted to be an index of a bit.
    shift: u32,
    /// For each gram the patterns that hold it, and where.
    places: HashMap<u32, Vec<(usize, usize)>>,
}

/// Where a pattern stands in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    /// The pattern's number in the order given.
    pub(super) pattern: usize,
    /// Its first byte.
    pub(super) start: usize,
    /// One past its last byte.
    pub(super) end: usize,
}

impl Grams {
    /// Looks for `patterns`, each of at least four bytes (a shorter one is never found).
    pub(super) fn new(patterns: Vec<Vec<u8>>, ignore_case: bool) -> Self {
        let fold = if ignore_case { 0x2020_2020 } else { 0 };
        let patterns: Vec<Vec<u8>> = patterns
            .into_iter()
            .map(|pattern| if ignore_case { pattern.to_ascii_lowercase() } else { pattern })
            .collect();
        let width = patterns.iter().map(Vec::len).filter(|&length| length >= GRAM).min();
        let width = width.unwrap_or(GRAM).min(WIDEST);
        let stride = width - GRAM + 1;
        // So many bits for each gram that one look in 256 is let through by chance.
        let wanted = (patterns.len() * stride * 256).next_power_of_two().clamp(1 << 12, 1 << 22);
        let shift = 32 - wanted.trailing_zeros();
        let mut grams = Self {
            patterns,
            fold,
            stride,
            coarse: vec![0; COARSE],
            bitmap: vec![0; wanted / 8],
            shift,
            places: HashMap::new(),
        };
        for (number, pattern) in grams.patterns.iter().enumerate() {
            if pattern.len() < GRAM {
                continue;
            }
            // The middle: the beginnings of tokens and keys of one kind are all alike.
            let window = (pattern.len() - width) / 2;
            for place in window..window + stride {
                let Some(gram) = gram_at(pattern, place).map(|gram| gram | fold) else { continue };
                grams.places.entry(gram).or_default().push((number, place));
                let bit = bit_of(gram, shift);
                grams.coarse[coarse_of(gram)] = 1;
                grams.bitmap[bit / 8] |= 1 << (bit % 8);
            }
        }
        grams
    }

    /// The next place at or after `from` at which some pattern stands; `hits` is given each one that holds the
    /// gram there. Returns where to look on, or `None` at the end of the text.
    pub(super) fn next(&self, text: &[u8], from: usize, hits: &mut Vec<Hit>) -> Option<usize> {
        let mut at = from;
        if self.patterns.is_empty() {
            return None;
        }
        loop {
            at = self.promising(text, at)?;
            let before = hits.len();
            self.compare(text, at, hits);
            at += self.stride;
            if hits.len() > before {
                return Some(at);
            }
        }
    }

    /// The next place to look at, of those a stride apart, whose gram some pattern may hold.
    fn promising(&self, text: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        if self.stride == 1 {
            while let Some(&bytes) = text.get(at..)?.first_chunk::<8>() {
                // Grams that overlap come from one load, and one branch decides about all of them.
                let word = u64::from_le_bytes(bytes);
                let grams = [0, 8, 16, 24, 32].map(|bits| lower_half(word >> bits) | self.fold);
                if grams.iter().fold(0, |any, &gram| any | self.coarse[coarse_of(gram)]) != 0
                    && let Some(place) = grams.iter().position(|&gram| self.may_hold(gram))
                {
                    return Some(at + place);
                }
                at += grams.len();
            }
        }
        while let Some(gram) = gram_at(text, at) {
            if self.may_hold(gram | self.fold) {
                return Some(at);
            }
            at += self.stride;
        }
        None
    }

    #[inline]
    fn may_hold(&self, gram: u32) -> bool {
        let bit = bit_of(gram, self.shift);
        self.bitmap.get(bit / 8).is_some_and(|byte| byte >> (bit % 8) & 1 == 1)
    }

    /// Gives each pattern whose gram stands at `at` and that stands there in full.
    fn compare(&self, text: &[u8], at: usize, hits: &mut Vec<Hit>) {
        let Some(places) = gram_at(text, at).and_then(|gram| self.places.get(&(gram | self.fold)))
        else {
            return;
        };
        for &(pattern, place) in places {
            let Some(start) = at.checked_sub(place) else { continue };
            let wanted = &self.patterns[pattern];
            let end = start + wanted.len();
            let Some(found) = text.get(start..end) else { continue };
            let same =
                if self.fold == 0 { found == wanted } else { found.eq_ignore_ascii_case(wanted) };
            if same {
                hits.push(Hit { pattern, start, end });
            }
        }
    }
}

fn gram_at(text: &[u8], at: usize) -> Option<u32> {
    text.get(at..)?.first_chunk::<GRAM>().map(|bytes| u32::from_le_bytes(*bytes))
}

#[allow(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
fn lower_half(word: u64) -> u32 {
    word as u32
}

fn coarse_of(gram: u32) -> usize {
    bit_of(gram, u32::BITS - COARSE.trailing_zeros())
}

/// Knuth's multiplicative hash: the upper bits of the product.
fn bit_of(gram: u32, shift: u32) -> usize {
    (gram.wrapping_mul(0x9E37_79B1) >> shift) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(grams: &Grams, text: &[u8]) -> Vec<(usize, usize)> {
        let (mut hits, mut at) = (Vec::new(), 0);
        while let Some(next) = grams.next(text, at, &mut hits) {
            at = next;
        }
        let mut found: Vec<_> = hits.iter().map(|hit| (hit.start, hit.pattern)).collect();
        found.sort_unstable();
        found
    }

    #[test]
    fn case_matters_only_where_it_should() {
        let patterns = vec![b"Token".to_vec(), b"secret".to_vec()];
        assert_eq!(all(&Grams::new(patterns.clone(), true), b"TOKEN sEcRet"), [(0, 0), (6, 1)]);
        assert_eq!(all(&Grams::new(patterns, false), b"TOKEN Token secret"), [(6, 0), (12, 1)]);
    }

    #[test]
    fn nothing_is_found_without_patterns_or_in_a_short_text() {
        assert!(all(&Grams::new(Vec::new(), false), b"anything at all").is_empty());
        assert!(all(&Grams::new(vec![b"long enough".to_vec()], false), b"lon").is_empty());
    }

    proptest! {
        /// Few letters make overlaps and chance hits common.
        #[test]
        fn finds_what_a_plain_search_finds(
            patterns in prop::collection::vec("[ab]{6,20}", 1..8),
            text in "[ab]{0,300}",
        ) {
            let bytes: Vec<Vec<u8>> = patterns.iter().map(|p| p.clone().into_bytes()).collect();
            let grams = Grams::new(bytes.clone(), false);
            let mut expected = Vec::new();
            for at in 0..text.len() {
                for (number, pattern) in bytes.iter().enumerate() {
                    if text.as_bytes()[at..].starts_with(pattern) {
                        expected.push((at, number));
                    }
                }
            }
            let mut found = all(&grams, text.as_bytes());
            found.dedup();
            prop_assert_eq!(found, expected);
        }
    }
}
