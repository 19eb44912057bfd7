//! Solving small symmetric positive definite systems.

/// Solves A x = b for a symmetric positive definite A (`n * n`, row by row; the lower triangle is read), leaving the
/// factor in `a` and x in `b`. False, with both spoiled, if A is not positive definite.
///
/// Cost n³/6 multiplications. Slices of other lengths than n² and n are refused as not positive definite.
pub fn cholesky_solve(a: &mut [f64], b: &mut [f64]) -> bool {
    let n = b.len();
    if a.len() != n * n {
        return false;
    }
    for j in 0..n {
        for i in j..n {
            let inner: f64 = (0..j).map(|k| a[i * n + k] * a[j * n + k]).sum();
            let rest = a[i * n + j] - inner;
            if i > j {
                a[i * n + j] = rest / a[j * n + j];
            } else if rest > 0.0 && rest.is_finite() {
                a[j * n + j] = rest.sqrt();
            } else {
                return false;
            }
        }
    }
    for i in 0..n {
        let inner: f64 = (0..i).map(|k| a[i * n + k] * b[k]).sum();
        b[i] = (b[i] - inner) / a[i * n + i];
    }
    for i in (0..n).rev() {
        let inner: f64 = (i + 1..n).map(|k| a[k * n + i] * b[k]).sum();
        b[i] = (b[i] - inner) / a[i * n + i];
    }
    b.iter().all(|v| v.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_and_refuses() {
        let mut a = [4.0, 0.0, 2.0, 3.0];
        let mut b = [10.0, 11.0];
        assert!(cholesky_solve(&mut a, &mut b));
        assert!((b[0] - 1.0).abs() < 1e-14 && (b[1] - 3.0).abs() < 1e-14, "{b:?}");
        assert!(!cholesky_solve(&mut [1.0, 0.0, 2.0, 1.0], &mut [1.0, 1.0]));
        assert!(!cholesky_solve(&mut [f64::NAN], &mut [1.0]));
        assert!(!cholesky_solve(&mut [1.0, 2.0], &mut [1.0]));
        assert!(cholesky_solve(&mut [], &mut []));
    }
}
