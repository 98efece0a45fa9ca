//! Shamir's secret sharing over GF(2^8) (polynomial 0x11B), in the layout of SOPS: the bytes of y, then one byte x.

use zeroize::Zeroizing;

use crate::Error;
use crate::random::random_bytes;

/// Multiplication without a branch or a table that depends on the operands.
fn mul(mut a: u8, mut b: u8) -> u8 {
    let mut product = 0;
    for _ in 0..8 {
        product ^= a & 0_u8.wrapping_sub(b & 1);
        let high = 0_u8.wrapping_sub(a >> 7);
        a = (a << 1) ^ (0x1b & high);
        b >>= 1;
    }
    product
}

/// The inverse: a^254, and 0 for 0.
fn inverse(a: u8) -> u8 {
    let mut power = a;
    let mut result = 1;
    for _ in 0..7 {
        power = mul(power, power);
        result = mul(result, power);
    }
    result
}

/// Splits a secret into `shares`, of which `needed` bring it back.
///
/// # Errors
/// Where the system gives no random bytes.
pub(super) fn split(secret: &[u8], shares: usize, needed: usize) -> Result<Vec<Zeroizing<Vec<u8>>>, Error> {
    let mut coefficients = Zeroizing::new(vec![0_u8; secret.len() * needed.saturating_sub(1)]);
    random_bytes(&mut coefficients)?;
    let share = |x: u8| {
        let mut share = Zeroizing::new(Vec::with_capacity(secret.len() + 1));
        for (index, byte) in secret.iter().enumerate() {
            let own = coefficients.iter().skip(index * (needed - 1)).take(needed - 1);
            // Horner's rule from the highest power down to the secret itself.
            share.push(mul(own.fold(0, |sum, coefficient| mul(sum, x) ^ coefficient), x) ^ byte);
        }
        share.push(x);
        share
    };
    Ok((1..=shares).map(|x| share(x as u8)).collect())
}

/// The secret from shares; `None` if they are of different lengths or two are the same point.
pub(super) fn combine(shares: &[Zeroizing<Vec<u8>>]) -> Option<Zeroizing<Vec<u8>>> {
    let length = shares.first()?.len().checked_sub(1)?;
    let points: Vec<u8> = shares.iter().map(|share| share.last().copied()).collect::<Option<_>>()?;
    let distinct = points.iter().enumerate().all(|(index, x)| *x != 0 && !points[..index].contains(x));
    if !distinct || shares.iter().any(|share| share.len() != length + 1) {
        return None;
    }
    let mut secret = Zeroizing::new(vec![0_u8; length]);
    for (share, x) in shares.iter().zip(&points) {
        let others = points.iter().filter(|other| *other != x);
        let weight = others.fold(1, |product, other| mul(product, mul(*other, inverse(other ^ x))));
        for (byte, y) in secret.iter_mut().zip(share.iter()) {
            *byte ^= mul(*y, weight);
        }
    }
    Some(secret)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn any_two_of_three() {
        let secret: Vec<u8> = (0..32).collect();
        let shares = split(&secret, 3, 2).unwrap();
        for pair in [[0, 1], [0, 2], [1, 2]] {
            let chosen: Vec<_> = pair.iter().map(|index| shares[*index].clone()).collect();
            assert_eq!(*combine(&chosen).unwrap(), secret);
        }
        assert_ne!(*combine(&shares[..1]).unwrap(), secret);
        assert!(combine(&[shares[0].clone(), shares[0].clone()]).is_none());
        for a in 1..=255 {
            assert_eq!(mul(a, inverse(a)), 1);
        }
    }
}
