//! The functions of `memory.c`, which stand in for those of musl: copies and orders of every length and distance.

#![cfg(test)]

use std::cmp::Ordering;
use std::hint::black_box;

/// Bytes that differ from their neighbours, and from those a few powers of two away.
fn byte(place: usize) -> u8 {
    (place * 37 + place / 251) as u8
}

/// Longer than the longest piece that is copied in its own way, twice.
const LONGEST: usize = 200;

#[test]
fn copies_of_every_length_at_every_alignment() {
    let source: Vec<u8> = (0..LONGEST + 32).map(byte).collect();
    for length in 0..LONGEST {
        for (from, to) in (0..16).flat_map(|from| (0..16).map(move |to| (from, to))) {
            let mut copy = vec![0xee; LONGEST + 32];
            copy[black_box(to..to + length)].copy_from_slice(black_box(&source[from..from + length]));
            for (place, found) in copy.iter().enumerate() {
                let inside = (to..to + length).contains(&place);
                assert_eq!(*found, if inside { byte(place - to + from) } else { 0xee }, "{length} {from} {to} {place}");
            }
        }
    }
}

#[test]
fn moves_over_themselves() {
    for length in 0..LONGEST {
        for (from, to) in (0..80).map(|by| (by, 40)).chain((0..80).map(|by| (40, by))) {
            let mut moved: Vec<u8> = (0..LONGEST + 80).map(byte).collect();
            moved.copy_within(black_box(from..from + length), black_box(to));
            for (place, found) in moved.iter().enumerate() {
                let inside = (to..to + length).contains(&place);
                assert_eq!(
                    *found,
                    byte(if inside { place - to + from } else { place }),
                    "{length} {from} {to} {place}"
                );
            }
        }
    }
}

#[test]
fn orders_are_those_of_the_first_byte_that_differs() {
    let one: Vec<u8> = (0..LONGEST).map(byte).collect();
    for start in 0..9 {
        for end in start..LONGEST {
            let mut other = one.clone();
            assert_eq!(black_box(&one[start..end]).cmp(black_box(&other[start..end])), Ordering::Equal);
            for place in start..end {
                for changed in [0, one[place].wrapping_add(1), 0xff] {
                    other[place] = changed;
                    // A later byte that says the opposite counts for nothing.
                    if let Some(later) = other[..end].get_mut(place + 1) {
                        *later = !changed;
                    }
                    let expected = one[place].cmp(&changed);
                    if expected != Ordering::Equal {
                        assert_eq!(black_box(&one[start..end]).cmp(black_box(&other[start..end])), expected);
                        assert!(black_box(&one[start..end]) != black_box(&other[start..end]));
                    }
                    other.copy_from_slice(&one);
                }
            }
        }
    }
}
