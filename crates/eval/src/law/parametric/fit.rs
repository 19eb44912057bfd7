//! Many starts, the hopeless ones given up early, the best polished.

use ashlar_stats::optim::{Lbfgs, LbfgsOptions};
use rayon::prelude::*;

use super::{
    lad,
    objective::{Problem, Scratch},
    starts::{Grid, Starts},
};
use crate::{
    Error, Result,
    law::{Law, Points, Variable},
};

/// Iterations after which a start is judged.
const PROBATION: usize = 30;
/// A start is given up if it is this many times above the best by then.
const HOPELESS: f64 = 5.0;
/// Starts that are polished.
const POLISHED: usize = 10;
/// Starts handled between two looks at the best: fixed, so that answers don't depend on threads.
const BLOCK: usize = 4096;
/// The gradient that counts as an optimum, of the objective over δ·n.
const TOLERANCE: f64 = 1e-9;
/// Starts count as reaching the best if they are no further above it, relative.
const SAME: f64 = 1e-6;
/// A floor so far below the smallest term is no floor.
const VANISHED: f64 = 30.0;

/// How a residual of ln L counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Loss {
    /// Quadratic up to δ, linear beyond.
    Huber {
        /// δ, above 0.
        delta: f64,
    },
    /// Its absolute value.
    Lad,
}

/// How to fit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FitOptions {
    /// The loss of a residual; Huber with δ = 1e-3 unless told otherwise.
    pub loss: Loss,
    /// From where.
    pub starts: Starts,
    /// Seed of drawn starts and of the bootstrap.
    pub seed: u64,
}

impl Default for FitOptions {
    fn default() -> Self {
        Self { loss: Loss::Huber { delta: 1e-3 }, starts: Starts::Auto, seed: 0 }
    }
}

/// A fitted law L = E + Σ_j e^{c_j} d_j^{−x_j}.
#[derive(Clone, Debug)]
pub struct Fit {
    /// Rows fitted.
    pub n: usize,
    /// The variables d_j.
    pub vars: Vec<Variable>,
    /// How residuals counted.
    pub loss: Loss,
    /// Σ Huber_δ, or Σ of absolute residuals.
    pub objective: f64,
    /// x_j.
    pub exponents: Vec<f64>,
    /// c_j, the logs of the factors.
    pub coefficients: Vec<f64>,
    /// ln E; `None` where E has vanished.
    pub irreducible_error: Option<f64>,
    /// Whether the gradient is below 1e-9.
    pub converged: bool,
    /// Starts tried.
    pub starts: usize,
    /// Starts that ended within 1e-6, relative, of the objective.
    pub starts_at_best: usize,
    /// Starts given up after 30 iterations.
    pub starts_pruned: usize,
    /// Largest component of the gradient of objective / (δ n); for LAD of the Lagrangian's over n, or how far a
    /// multiplier leaves [−1, 1].
    pub grad_inf: f64,
    /// The losses fitted.
    pub losses: Vec<f64>,
    /// Each variable's values on these rows.
    pub columns: Vec<Vec<f64>>,
    pub(super) problem: Problem,
    pub(super) theta: Vec<f64>,
}

/// Fits losses to variables: one column each, of the same length, all finite and above 0.
///
/// # Errors
/// [`Error::Range`] for a δ that is not finite and above 0 or for no start; [`Error::TooFew`] for fewer than 2k + 2 rows;
/// [`Error::Undefined`] for a variable with one value only, columns of other lengths, or losses from which no start finds
/// a law.
pub fn fit(loss: &[f64], vars: &[Variable], columns: &[Vec<f64>], options: &FitOptions) -> Result<Fit> {
    check(loss, vars, columns, options)?;
    let problem = Problem::new(loss, columns);
    let delta = match options.loss {
        Loss::Huber { delta } => delta,
        Loss::Lad => lad::FIRST_DELTA,
    };
    let grid = Grid::new(vars.len());
    let starts = grid.choose(options.starts, options.seed);
    let found = search(&problem, grid, &starts, delta);
    let polished: Vec<(f64, Vec<f64>)> =
        found.best.into_par_iter().map(|(_, theta)| polish(&problem, theta, options.loss)).collect();
    let best = polished.into_iter().filter(|one| one.0.is_finite()).min_by(|a, b| a.0.total_cmp(&b.0));
    let Some((mut objective, mut theta)) = best else {
        return Err(Error::Undefined("no start finds a law: the losses or variables are too extreme".to_owned()));
    };
    // Without a floor: as good, or is the floor so low that it is none?
    let floor = theta[2 * vars.len()];
    let (objective_without, without) = polish(&problem, theta[..2 * vars.len()].to_vec(), options.loss);
    let vanished = floor < problem.lowest_term(&theta) - VANISHED || objective_without <= objective * (1.0 + 1e-12);
    if vanished && objective_without.is_finite() {
        (objective, theta) = (objective_without, without);
    }
    let grad_inf = match options.loss {
        Loss::Huber { delta } => {
            let mut gradient = vec![0.0; theta.len()];
            problem.value(&theta, delta, &mut gradient, &mut Scratch::default());
            problem.outer_gradient_inf(&gradient)
        }
        Loss::Lad => {
            let off = lad::finish(&problem, &mut theta);
            objective = problem.absolute(&theta);
            off
        }
    };
    let reached = found.values.iter().filter(|v| **v <= found.lowest * (1.0 + SAME)).count();
    let outer = problem.outer(&theta);
    let k = vars.len();
    Ok(Fit {
        n: loss.len(),
        vars: vars.to_vec(),
        loss: options.loss,
        objective,
        exponents: outer[..k].to_vec(),
        coefficients: outer[k..2 * k].to_vec(),
        irreducible_error: outer.get(2 * k).copied(),
        converged: grad_inf < TOLERANCE,
        starts: starts.len(),
        starts_at_best: reached,
        starts_pruned: found.pruned,
        grad_inf,
        losses: loss.to_vec(),
        columns: columns.to_vec(),
        problem,
        theta,
    })
}

/// The optimum near θ, and its objective.
fn polish(problem: &Problem, mut theta: Vec<f64>, loss: Loss) -> (f64, Vec<f64>) {
    let objective = match loss {
        Loss::Huber { delta } => lad::polish(problem, &mut theta, delta).value * delta * problem.weight_sum(),
        Loss::Lad => {
            lad::descend(problem, &mut theta, lad::FIRST_DELTA);
            problem.absolute(&theta)
        }
    };
    (objective, theta)
}

fn check(loss: &[f64], vars: &[Variable], columns: &[Vec<f64>], options: &FitOptions) -> Result<()> {
    if let Loss::Huber { delta } = options.loss
        && !(delta > 0.0 && delta.is_finite())
    {
        return Err(Error::Range { name: "delta", value: delta, expected: "finite and above 0" });
    }
    if options.starts == Starts::Draws(0) {
        return Err(Error::Range { name: "starts", value: 0.0, expected: "at least 1" });
    }
    if vars.is_empty() || vars.len() > 4 || columns.len() != vars.len() {
        return Err(Error::Undefined("a law has one to four variables, with a column each".to_owned()));
    }
    if let Some(twice) = vars.iter().enumerate().find(|(at, var)| vars[..*at].contains(var)) {
        return Err(Error::Undefined(format!("the variable {} is named twice", twice.1)));
    }
    let needed = 2 * vars.len() + 2;
    if loss.len() < needed {
        return Err(Error::TooFew {
            what: format!("rows for a law of {} parameters", needed - 1),
            needed,
            found: loss.len(),
        });
    }
    for (var, column) in vars.iter().zip(columns) {
        if column.len() != loss.len() {
            return Err(Error::Undefined(format!("{} values of {var} for {} losses", column.len(), loss.len())));
        }
        if Points::distinct(column) < 2 {
            return Err(Error::Undefined(format!("every row has the same {var}: no law in it can be seen")));
        }
    }
    let sane = |v: &f64| v.is_finite() && *v > 0.0;
    match std::iter::once(loss).chain(columns.iter().map(Vec::as_slice)).find_map(|c| c.iter().position(|v| !sane(v))) {
        Some(row) => Err(Error::Undefined(format!("row {} holds a value that is not finite and above 0", row + 1))),
        None => Ok(()),
    }
}

struct Found {
    /// The best different optima (value, θ), best first.
    best: Vec<(f64, Vec<f64>)>,
    /// Where each start ended.
    values: Vec<f64>,
    lowest: f64,
    pruned: usize,
}

fn search(problem: &Problem, grid: Grid, starts: &[u64], delta: f64) -> Found {
    let mut found = Found { best: Vec::new(), values: Vec::new(), lowest: f64::INFINITY, pruned: 0 };
    for block in starts.chunks(BLOCK) {
        let tried: Vec<(Vec<f64>, f64)> = block
            .par_iter()
            .map_init(
                || Worker::new(problem, delta, PROBATION),
                |worker, &start| worker.minimize(problem.inner(&grid.point(start))),
            )
            .collect();
        let lowest = tried.iter().map(|one| one.1).fold(found.lowest, f64::min);
        let ended: Vec<(Vec<f64>, f64, bool)> = tried
            .into_par_iter()
            .map_init(
                || Worker::new(problem, delta, 2000),
                |worker, (theta, value)| {
                    // NaN is hopeless too.
                    if value <= HOPELESS * lowest {
                        let (theta, value) = worker.minimize(theta);
                        (theta, value, false)
                    } else {
                        (theta, value, true)
                    }
                },
            )
            .collect();
        for (theta, value, pruned) in ended {
            found.pruned += usize::from(pruned);
            found.values.push(value);
            if !pruned {
                found.lowest = found.lowest.min(value);
                found.offer(value, theta);
            }
        }
    }
    found
}

impl Found {
    /// Keeps the point if it is among the best that differ.
    fn offer(&mut self, value: f64, theta: Vec<f64>) {
        if !value.is_finite() {
            return;
        }
        let place = self.best.partition_point(|held| held.0 <= value);
        let near = |held: &(f64, Vec<f64>)| (held.0 - value).abs() <= SAME * value.abs();
        if place > 0 && near(&self.best[place - 1]) {
            return;
        }
        if self.best.get(place).is_some_and(near) {
            self.best[place] = (value, theta);
            return;
        }
        self.best.insert(place, (value, theta));
        self.best.truncate(POLISHED);
    }
}

/// A thread's minimiser.
struct Worker<'p> {
    problem: &'p Problem,
    delta: f64,
    lbfgs: Lbfgs,
    scratch: Scratch,
}

impl<'p> Worker<'p> {
    fn new(problem: &'p Problem, delta: f64, max_iterations: usize) -> Self {
        let options = LbfgsOptions { max_iterations, gradient_tolerance: 1e-10, ..LbfgsOptions::default() };
        Self { problem, delta, lbfgs: Lbfgs::new(problem.dims(), options), scratch: Scratch::default() }
    }

    fn minimize(&mut self, mut theta: Vec<f64>) -> (Vec<f64>, f64) {
        let end = self
            .lbfgs
            .minimize(&mut theta, |theta, gradient| self.problem.value(theta, self.delta, gradient, &mut self.scratch));
        (theta, end.value)
    }
}

impl Fit {
    /// Fits a table. `no_embeds` takes one embedding matrix from the parameters, as the published fits do;
    /// `drop_highest` > 0 keeps only losses strictly below that many-th largest.
    ///
    /// # Errors
    /// What [`Points`] says of a column and [`fit`] of its numbers.
    pub fn of(
        points: &Points,
        vars: &[Variable],
        no_embeds: bool,
        drop_highest: usize,
        options: &FitOptions,
    ) -> Result<Self> {
        let mut loss = points.loss()?;
        let column = |&var: &Variable| match var {
            Variable::Params if no_embeds => points.params_no_embeds(1),
            _ => points.variable(var),
        };
        let mut columns: Vec<Vec<f64>> = vars.iter().map(column).collect::<Result<_>>()?;
        if drop_highest > 0 {
            let mut sorted = loss.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            let bar = sorted.get(drop_highest - 1).copied().unwrap_or(f64::NEG_INFINITY);
            let keep: Vec<bool> = loss.iter().map(|&l| l < bar).collect();
            let kept = |column: &[f64]| column.iter().zip(&keep).filter(|(_, k)| **k).map(|(v, _)| *v).collect();
            columns = columns.iter().map(|column| kept(column)).collect();
            loss = kept(&loss);
        }
        fit(&loss, vars, &columns, options)
    }

    /// Whether E has vanished: the data do not tell a floor.
    pub fn degenerate(&self) -> bool {
        self.irreducible_error.is_none()
    }

    /// E, 0 where it has vanished.
    pub fn floor(&self) -> f64 {
        self.irreducible_error.map_or(0.0, f64::exp)
    }

    /// The law's loss at values of its variables, in their order.
    pub fn predict(&self, values: &[f64]) -> f64 {
        let terms = self.exponents.iter().zip(&self.coefficients).zip(values);
        self.floor() + terms.map(|((x, c), d)| (c - x * d.ln()).exp()).sum::<f64>()
    }

    /// The fit as a law of parameters and tokens.
    ///
    /// # Errors
    /// [`Error::Undefined`] for other variables, [`Error::Range`] where an exponent is not above 0.
    pub fn law(&self) -> Result<Law> {
        if self.vars != [Variable::Params, Variable::Tokens] {
            return Err(Error::Undefined("only a law of params,tokens prescribes in closed form".to_owned()));
        }
        let [alpha, beta] = [self.exponents[0], self.exponents[1]];
        Law::new(self.coefficients[0].exp(), self.coefficients[1].exp(), self.floor(), alpha, beta)
    }
}
