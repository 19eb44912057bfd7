//! The objective with gradient and Hessian.
//!
//! Parameters stand as θ = (x₁ … x_k, c′₁ … c′_k, e) with c′ = c − x·m, m the mean of ln d over the rows: with ln d around
//! 0 exponents and coefficients are nearly independent, and L-BFGS needs a fifth of the iterations. [`Problem::outer`]
//! and [`Problem::inner`] translate.

use std::collections::HashMap;

/// Beyond this spread of terms a row's own maximum is subtracted instead of the common one.
const SPREAD: f64 = 600.0;

/// What is fitted: ln losses, and per variable its different values with each row's place among them.
#[derive(Clone, Debug)]
pub struct Problem {
    /// ln L.
    y: Vec<f64>,
    /// How often each row counts.
    weight: Vec<f64>,
    weight_sum: f64,
    terms: Vec<Term>,
}

#[derive(Clone, Debug)]
struct Term {
    /// Mean of ln d over the rows.
    mean: f64,
    /// ln d − mean of each different value.
    values: Vec<f64>,
    /// Each row's value.
    place: Vec<u32>,
}

/// Working memory of one thread.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    /// exp(term − shift) of each value, all terms in a row.
    power: Vec<f64>,
    /// Σ over a value's rows of weight · ψ / S.
    pull: Vec<f64>,
}

impl Problem {
    /// Takes losses and variables (columns), all finite and above 0, of the same length.
    pub fn new(loss: &[f64], variables: &[Vec<f64>]) -> Self {
        let term = |column: &Vec<f64>| {
            let mean = column.iter().map(|d| d.ln()).sum::<f64>() / column.len().max(1) as f64;
            let mut seen: HashMap<u64, u32> = HashMap::new();
            let mut values = Vec::new();
            let place = column.iter().map(|d| {
                *seen.entry(d.to_bits()).or_insert_with(|| {
                    values.push(d.ln() - mean);
                    values.len() as u32 - 1
                })
            });
            let place = place.collect();
            Term { mean, values, place }
        };
        Self {
            y: loss.iter().map(|l| l.ln()).collect(),
            weight: vec![1.0; loss.len()],
            weight_sum: loss.len() as f64,
            terms: variables.iter().map(term).collect(),
        }
    }

    /// The same rows, each counted `count` times.
    #[must_use]
    pub fn resampled(&self, count: &[u32]) -> Self {
        let rows: Vec<usize> = (0..self.rows()).filter(|&row| count[row] > 0).collect();
        let term = |term: &Term| Term {
            mean: term.mean,
            values: term.values.clone(),
            place: rows.iter().map(|&row| term.place[row]).collect(),
        };
        let weight: Vec<f64> = rows.iter().map(|&row| f64::from(count[row])).collect();
        Self {
            y: rows.iter().map(|&row| self.y[row]).collect(),
            weight_sum: weight.iter().sum(),
            weight,
            terms: self.terms.iter().map(term).collect(),
        }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.y.len()
    }

    /// Number of variables k.
    pub fn k(&self) -> usize {
        self.terms.len()
    }

    /// Number of parameters, 2k + 1.
    pub fn dims(&self) -> usize {
        2 * self.k() + 1
    }

    /// Rows counted, repeated ones again.
    pub fn weight_sum(&self) -> f64 {
        self.weight_sum
    }

    /// c from c′.
    pub fn outer(&self, theta: &[f64]) -> Vec<f64> {
        let mut outer = theta.to_vec();
        for (j, term) in self.terms.iter().enumerate() {
            outer[self.k() + j] += theta[j] * term.mean;
        }
        outer
    }

    /// c′ from c.
    pub fn inner(&self, outer: &[f64]) -> Vec<f64> {
        let mut theta = outer.to_vec();
        for (j, term) in self.terms.iter().enumerate() {
            theta[self.k() + j] -= outer[j] * term.mean;
        }
        theta
    }

    /// The largest component of the gradient by the law's own parameters (x, c, e).
    pub fn outer_gradient_inf(&self, gradient: &[f64]) -> f64 {
        let mut outer = gradient.to_vec();
        for (j, term) in self.terms.iter().enumerate() {
            outer[j] -= term.mean * gradient[self.k() + j];
        }
        ashlar_stats::optim::inf_norm(&outer)
    }

    /// Σ Huber_δ / (δ · n) and its gradient, at θ; e absent (E = 0) where θ is shorter by one. Infinite where the law
    /// leaves the floats' range.
    pub fn value(&self, theta: &[f64], delta: f64, gradient: &mut [f64], scratch: &mut Scratch) -> f64 {
        match self.k() {
            1 => self.value_of::<1>(theta, delta, gradient, scratch),
            2 => self.value_of::<2>(theta, delta, gradient, scratch),
            3 => self.value_of::<3>(theta, delta, gradient, scratch),
            4 => self.value_of::<4>(theta, delta, gradient, scratch),
            _ => f64::NAN,
        }
    }

    fn value_of<const K: usize>(&self, theta: &[f64], delta: f64, gradient: &mut [f64], scratch: &mut Scratch) -> f64 {
        let e = theta.get(2 * K).copied().unwrap_or(f64::NEG_INFINITY);
        let Some(shift) = self.common_shift(theta, e) else {
            return self.value_by_rows(theta, delta, gradient);
        };
        let Scratch { power, pull } = scratch;
        power.clear();
        let mut starts = [0; K];
        let mut places: [&[u32]; K] = [&[]; K];
        for (j, term) in self.terms.iter().enumerate() {
            starts[j] = power.len();
            places[j] = &term.place;
            power.extend(term.values.iter().map(|l| (theta[K + j] - theta[j] * l - shift).exp()));
        }
        pull.clear();
        pull.resize(power.len(), 0.0);
        let floor = (e - shift).exp();
        let (mut sum, mut floor_pull) = (0.0, 0.0);
        for (row, (y, weight)) in self.y.iter().zip(&self.weight).enumerate() {
            let mut at = [0; K];
            let mut total = floor;
            for j in 0..K {
                at[j] = starts[j] + places[j][row] as usize;
                total += power[at[j]];
            }
            let r = y - shift - total.ln();
            // ψ(r − ψ/2) is r²/2 inside δ and δ(|r| − δ/2) outside.
            let psi = r.clamp(-delta, delta);
            sum += weight * psi * (r - 0.5 * psi);
            let p = weight * psi / total;
            floor_pull += p;
            for place in at {
                pull[place] += p;
            }
        }
        let scale = 1.0 / (delta * self.weight_sum);
        for (j, term) in self.terms.iter().enumerate() {
            let (mut by_x, mut by_c) = (0.0, 0.0);
            for (u, l) in term.values.iter().enumerate() {
                let t = pull[starts[j] + u] * power[starts[j] + u];
                by_c -= t;
                by_x += t * l;
            }
            gradient[j] = by_x * scale;
            gradient[K + j] = by_c * scale;
        }
        if let Some(by_e) = gradient.get_mut(2 * K) {
            *by_e = -floor_pull * floor * scale;
        }
        sum * scale
    }

    /// The largest term, if no row's own largest is so far below that the common one would drown it.
    fn common_shift(&self, theta: &[f64], e: f64) -> Option<f64> {
        let k = self.k();
        let (mut highest, mut least) = (e, e);
        for (j, term) in self.terms.iter().enumerate() {
            let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
            for l in &term.values {
                let t = theta[k + j] - theta[j] * l;
                low = low.min(t);
                high = high.max(t);
            }
            highest = highest.max(high);
            least = least.max(low);
        }
        (highest.is_finite() && highest - least < SPREAD).then_some(highest)
    }

    fn value_by_rows(&self, theta: &[f64], delta: f64, gradient: &mut [f64]) -> f64 {
        gradient.fill(0.0);
        let k = self.k();
        let mut sum = 0.0;
        let mut t = [0.0; 5];
        for row in 0..self.rows() {
            let Some((r, weights)) = self.row(row, theta, &mut t) else { return f64::INFINITY };
            let psi = r.clamp(-delta, delta);
            sum += self.weight[row] * psi * (r - 0.5 * psi);
            let p = self.weight[row] * psi;
            for (j, term) in self.terms.iter().enumerate() {
                gradient[k + j] -= p * weights[j];
                gradient[j] += p * weights[j] * term.values[term.place[row] as usize];
            }
            if let Some(by_e) = gradient.get_mut(2 * k) {
                *by_e -= p * weights[k];
            }
        }
        let scale = 1.0 / (delta * self.weight_sum);
        for g in gradient.iter_mut() {
            *g *= scale;
        }
        sum * scale
    }

    /// Residual ln L − ŷ of a row and the softmax weights of its terms (the floor's at place k).
    fn row<'t>(&self, row: usize, theta: &[f64], t: &'t mut [f64; 5]) -> Option<(f64, &'t [f64])> {
        let k = self.k();
        for (j, term) in self.terms.iter().enumerate() {
            t[j] = theta[k + j] - theta[j] * term.values[term.place[row] as usize];
        }
        t[k] = theta.get(2 * k).copied().unwrap_or(f64::NEG_INFINITY);
        let most = t[..=k].iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if !most.is_finite() {
            return None;
        }
        t[..=k].iter_mut().for_each(|t| *t = (*t - most).exp());
        let total: f64 = t[..=k].iter().sum();
        t[..=k].iter_mut().for_each(|t| *t /= total);
        Some((self.y[row] - most - total.ln(), &t[..=k]))
    }

    /// [`Problem::value`] with the Hessian, for Newton: ψ′ J Jᵀ − ψ ∇²ŷ, ψ′ = 1 inside δ and 0 outside.
    pub fn hessian(&self, theta: &[f64], delta: f64, gradient: &mut [f64], hessian: &mut [f64]) -> f64 {
        let mut sum = 0.0;
        let finite = self.accumulate(theta, gradient, hessian, |row, r| {
            let weight = self.weight[row];
            let psi = r.clamp(-delta, delta);
            sum += weight * psi * (r - 0.5 * psi);
            (weight * psi, if r.abs() <= delta { weight } else { 0.0 })
        });
        if !finite {
            return f64::INFINITY;
        }
        let scale = 1.0 / (delta * self.weight_sum);
        gradient.iter_mut().chain(hessian).for_each(|g| *g *= scale);
        sum * scale
    }

    /// Sums −m ∇ŷ into the gradient and κ J Jᵀ − m ∇²ŷ into the Hessian, with (m, κ) of each row from its number and
    /// residual. False where the law leaves the floats' range.
    pub fn accumulate(
        &self,
        theta: &[f64],
        gradient: &mut [f64],
        hessian: &mut [f64],
        mut multipliers: impl FnMut(usize, f64) -> (f64, f64),
    ) -> bool {
        let (k, n) = (self.k(), theta.len());
        gradient.fill(0.0);
        hessian.fill(0.0);
        // Which term a parameter belongs to.
        let owner = |a: usize| if a == 2 * k { k } else { a % k };
        let (mut t, mut slope, mut jacobian) = ([0.0; 5], [0.0; 9], [0.0; 9]);
        for row in 0..self.rows() {
            let Some((r, weights)) = self.row(row, theta, &mut t) else { return false };
            let (m, inside) = multipliers(row, r);
            self.slopes(row, &mut slope);
            for a in 0..n {
                jacobian[a] = weights[owner(a)] * slope[a];
                gradient[a] -= m * jacobian[a];
            }
            for a in 0..n {
                for b in 0..=a {
                    // ∇²ŷ = Σ_j w_j ∇t_j ∇t_jᵀ − J Jᵀ.
                    let own = if owner(a) == owner(b) { weights[owner(a)] * slope[a] * slope[b] } else { 0.0 };
                    let product = jacobian[a] * jacobian[b];
                    hessian[a * n + b] += inside * product - m * (own - product);
                }
            }
        }
        for a in 0..n {
            for b in 0..a {
                hessian[b * n + a] = hessian[a * n + b];
            }
        }
        true
    }

    /// ∇ŷ of a row and its residual.
    pub fn jacobian(&self, row: usize, theta: &[f64], jacobian: &mut [f64]) -> f64 {
        let (k, n) = (self.k(), theta.len());
        let (mut t, mut slope) = ([0.0; 5], [0.0; 9]);
        self.slopes(row, &mut slope);
        let Some((r, weights)) = self.row(row, theta, &mut t) else { return f64::NAN };
        for a in 0..n {
            jacobian[a] = weights[if a == 2 * k { k } else { a % k }] * slope[a];
        }
        r
    }

    /// ∂t/∂θ of each parameter's own term: −ln d at x_j, 1 at c_j and e.
    fn slopes(&self, row: usize, slope: &mut [f64; 9]) {
        let k = self.k();
        for (j, term) in self.terms.iter().enumerate() {
            slope[j] = -term.values[term.place[row] as usize];
            slope[k + j] = 1.0;
        }
        slope[2 * k] = 1.0;
    }

    /// How often a row counts.
    pub fn weight(&self, row: usize) -> f64 {
        self.weight[row]
    }

    /// Residuals ln L − ŷ.
    pub fn residuals(&self, theta: &[f64]) -> Vec<f64> {
        let mut t = [0.0; 5];
        (0..self.rows()).map(|row| self.row(row, theta, &mut t).map_or(f64::INFINITY, |(r, _)| r)).collect()
    }

    /// The smallest c_j − x_j ln d_j over terms and rows.
    pub fn lowest_term(&self, theta: &[f64]) -> f64 {
        let k = self.k();
        let each = self.terms.iter().enumerate();
        each.flat_map(|(j, term)| term.values.iter().map(move |l| theta[k + j] - theta[j] * l))
            .fold(f64::INFINITY, f64::min)
    }

    /// Σ |ln L − ŷ|, repeated rows again.
    pub fn absolute(&self, theta: &[f64]) -> f64 {
        self.residuals(theta).iter().zip(&self.weight).map(|(r, w)| w * r.abs()).sum()
    }
}
