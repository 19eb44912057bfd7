//! Where fits start: the published grid, or seeded draws from it.

use rand_chacha::{
    ChaCha8Rng,
    rand_core::{RngCore, SeedableRng},
};

/// Exponents of the grid.
const EXPONENTS: [f64; 5] = [0.0, 0.5, 1.0, 1.5, 2.0];
/// ln coefficients of the grid.
const COEFFICIENTS: [f64; 6] = [0.0, 5.0, 10.0, 15.0, 20.0, 25.0];
/// ln E of the grid.
const FLOORS: [f64; 5] = [-1.0, -0.5, 0.0, 0.5, 1.0];

/// From where to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Starts {
    /// The grid for one and two variables (150, 4,500 starts), 2,000 draws for more.
    #[default]
    Auto,
    /// Every point of the grid: 135,000 for three variables, 4.05 million for four.
    Grid,
    /// This many different points of the grid, drawn with the fit's seed.
    Draws(u64),
}

/// The published grid for k variables, its points numbered.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    k: usize,
}

impl Grid {
    /// The grid for k variables (1 to 4).
    pub fn new(k: usize) -> Self {
        Self { k }
    }

    /// Number of points: (5 · 6)^k · 5.
    pub fn len(self) -> u64 {
        (0..self.k).map(|_| (EXPONENTS.len() * COEFFICIENTS.len()) as u64).product::<u64>() * FLOORS.len() as u64
    }

    /// Never true.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// Point `index`: (x₁ … x_k, c₁ … c_k, e).
    pub fn point(self, index: u64) -> Vec<f64> {
        let mut rest = index;
        let mut digit = |values: &[f64]| {
            let base = values.len() as u64;
            let value = values[(rest % base) as usize];
            rest /= base;
            value
        };
        let mut point: Vec<f64> = (0..self.k).map(|_| digit(&EXPONENTS)).collect();
        point.extend((0..self.k).map(|_| digit(&COEFFICIENTS)).collect::<Vec<_>>());
        point.push(digit(&FLOORS));
        point
    }

    /// The numbers of the starts, in a fixed order.
    pub fn choose(self, starts: Starts, seed: u64) -> Vec<u64> {
        let all = self.len();
        match starts {
            Starts::Grid => (0..all).collect(),
            Starts::Auto if self.k <= 2 => (0..all).collect(),
            Starts::Auto => self.draw(2000, seed),
            Starts::Draws(n) => self.draw(n, seed),
        }
    }

    /// `n` different points: the first n places of a shuffle (Fisher and Yates), kept sparse.
    fn draw(self, n: u64, seed: u64) -> Vec<u64> {
        let all = self.len();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut moved = std::collections::HashMap::new();
        let mut at = |i: u64, j: u64| {
            let (a, b) = (*moved.get(&i).unwrap_or(&i), *moved.get(&j).unwrap_or(&j));
            moved.insert(j, a);
            b
        };
        (0..n.min(all)).map(|i| at(i, i + below(&mut rng, all - i))).collect()
    }
}

/// A uniform integer below `n` (at most 2³²; the bias of a plain product is below 2⁻³²).
pub(crate) fn below(rng: &mut ChaCha8Rng, n: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(n)) >> 64) as u64
}
