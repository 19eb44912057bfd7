//! `procedural-images`: ten classes of 16 × 16 grey pictures.
//!
//! Five shapes (disc, ring, plus, saltire, triangle), four textures (horizontal, vertical and diagonal stripes,
//! checkerboard) and a pair of dots, each at a random place, size, tilt, stripe width and phase, on noise; a share of
//! the pictures is inverted (dark on light). Position, phase and inversion are what a linear model cannot follow: the
//! figures in the crate's documentation say how far apart the two are.
//!
//! Each picture is by a *writer*, who has a habitual pen (size, contrast, slant, how often inverted): the natural
//! partition goes by writer and differs in features, not in classes.
//!
//! A semantic backdoor lies at hand: the triangle (class 4) points up, and one that lies on its side is no class of its own.
//!
//! Only additions, multiplications, divisions and comparisons make the pixels, so that they are the same on every
//! platform. About 2 µs a picture.

use rand::Rng;
use rand_chacha::ChaCha8Rng;

use ashlar_kernels::rng;

use crate::{Error, LabelledSet, Result, Split};

/// Side of a picture in pixels.
pub const SIDE: usize = 16;

/// The classes in the order of their labels.
pub const CLASSES: [&str; 10] = [
    "disc",
    "ring",
    "plus",
    "saltire",
    "triangle",
    "horizontal-stripes",
    "vertical-stripes",
    "diagonal-stripes",
    "checkerboard",
    "pair",
];

/// Share of inverted pictures, and how far a writer's own share lies from it.
const INVERTED: (f32, f32) = (0.3, 0.2);
/// Largest offset of a shape from the middle, in pixels.
const SHIFT: f32 = 2.0;
/// Half the range of the uniform noise summed over three draws.
const NOISE: f32 = 0.4;

/// How many pictures to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Training pictures.
    pub train: usize,
    /// Test pictures, by the same writers.
    pub test: usize,
    /// Writers, 1 or more.
    pub writers: usize,
    /// Seed: the same seed gives the same pictures, and picture `i` does not depend on how many there are.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { train: 8_000, test: 2_000, writers: 200, seed: 0 }
    }
}

/// Makes the set. Classes are drawn in equal shares, up to one picture.
pub fn generate(config: &Config) -> Result<Split> {
    if config.writers == 0 || config.writers > 1 << 24 {
        return Err(Error::value("groups", format!("{} writers; say 1 to {}", config.writers, 1 << 24)));
    }
    let writers: Vec<Writer> = (0..config.writers).map(|writer| Writer::draw(config.seed, writer)).collect();
    Ok(Split {
        train: part(config.seed, "train", config.train, &writers)?,
        test: part(config.seed, "test", config.test, &writers)?,
        validation: None,
    })
}

fn part(seed: u64, name: &str, count: usize, writers: &[Writer]) -> Result<LabelledSet> {
    if count > 1 << 24 {
        return Err(Error::value("train", format!("{count} pictures are too many; say at most {}", 1 << 24)));
    }
    let mut rng = rng::stream(seed, &["data", "procedural-images", name]);
    let mut pixels = Vec::with_capacity(count * SIDE * SIDE);
    let (mut labels, mut groups) = (Vec::with_capacity(count), Vec::with_capacity(count));
    let mut order: [u32; CLASSES.len()] = std::array::from_fn(|class| class as u32);
    for index in 0..count {
        // Each ten pictures hold every class once, in a new order.
        let turn = index % CLASSES.len();
        order.swap(turn, rng.random_range(turn..CLASSES.len()));
        let class = order[turn];
        let writer = rng.random_range(0..writers.len() as u32);
        let picture = Picture::draw(class, &writers[writer as usize], &mut rng);
        picture.render(&mut rng, &mut pixels);
        labels.push(class);
        groups.push(writer);
    }
    let names = (0..writers.len()).map(|writer| format!("writer-{writer}")).collect();
    let classes = CLASSES.map(str::to_owned).to_vec();
    LabelledSet::from_u8([1, SIDE, SIDE], pixels, labels, classes)?.with_groups(groups, names)
}

/// A writer's habits.
struct Writer {
    size: f32,
    contrast: f32,
    slant: f32,
    inverted: f32,
}

impl Writer {
    fn draw(seed: u64, writer: usize) -> Self {
        let mut rng = rng::stream(seed, &["data", "procedural-images", "writer", &writer.to_string()]);
        Self {
            size: between(&mut rng, 0.92, 1.08),
            contrast: between(&mut rng, 0.85, 1.0),
            slant: between(&mut rng, -0.08, 0.08),
            inverted: INVERTED.0 + between(&mut rng, -INVERTED.1, INVERTED.1),
        }
    }
}

fn between(rng: &mut ChaCha8Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

/// What is drawn; lengths in pixels, the tilt as the tangent of half its angle.
struct Picture {
    class: u32,
    at: (f32, f32),
    size: f32,
    pen: f32,
    tilt: f32,
    /// Stripe width, and where a stripe begins along both axes.
    period: f32,
    phase: (f32, f32),
    /// Brightness off and on the figure.
    levels: (f32, f32),
}

impl Picture {
    fn draw(class: u32, writer: &Writer, rng: &mut ChaCha8Rng) -> Self {
        let middle = SIDE as f32 / 2.0;
        let contrast = writer.contrast * between(rng, 0.40, 0.70);
        let base = between(rng, 0.1, 0.25);
        let inverted = rng.random::<f32>() < writer.inverted;
        Self {
            class,
            at: (middle + between(rng, -SHIFT, SHIFT), middle + between(rng, -SHIFT, SHIFT)),
            size: writer.size * between(rng, 4.2, 5.6),
            pen: between(rng, 0.9, 1.4),
            tilt: writer.slant + between(rng, -0.06, 0.06),
            period: between(rng, 2.4, 3.4),
            phase: (rng.random(), rng.random()),
            levels: if inverted { (1.0 - base, 1.0 - base - contrast) } else { (base, base + contrast) },
        }
    }

    fn render(&self, rng: &mut ChaCha8Rng, out: &mut Vec<u8>) {
        // Rotation by an angle φ with t = tan(φ/2).
        let t = self.tilt;
        let (cos, sin) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
        for row in 0..SIDE {
            for column in 0..SIDE {
                let (dx, dy) = (column as f32 + 0.5 - self.at.0, row as f32 + 0.5 - self.at.1);
                let (x, y) = (cos * dx + sin * dy, cos * dy - sin * dx);
                // One pixel wide edges: the signed distance becomes how much of the pixel is covered.
                let cover = (0.5 - self.distance(x, y)).clamp(0.0, 1.0);
                let noise = NOISE * (rng.random::<f32>() + rng.random::<f32>() + rng.random::<f32>() - 1.5);
                let value = self.levels.0 + (self.levels.1 - self.levels.0) * cover + noise;
                out.push((value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8);
            }
        }
    }

    /// Distance from the figure's edge, negative inside.
    fn distance(&self, x: f32, y: f32) -> f32 {
        let (size, pen) = (self.size, self.pen);
        let length = |x: f32, y: f32| (x * x + y * y).sqrt();
        let bars = |x: f32, y: f32| (x.abs() - pen).max(y.abs() - size).min((y.abs() - pen).max(x.abs() - size));
        const HALF: f32 = std::f32::consts::FRAC_1_SQRT_2;
        match self.class {
            0 => length(x, y) - 0.85 * size,
            1 => (length(x, y) - 0.85 * size).abs() - pen,
            2 => bars(x, y),
            3 => bars(HALF * (x + y), HALF * (y - x)),
            4 => (0.9 * x.abs() - 0.45 * (y + size)).max(y - 0.8 * size),
            5 => self.stripe(y, self.phase.0),
            6 => self.stripe(x, self.phase.0),
            7 => self.stripe(HALF * (x + y), self.phase.0),
            8 => {
                let (a, b) = (self.stripe(x, self.phase.0), self.stripe(y, self.phase.1));
                // Inside exactly one of two stripe patterns.
                a.max(-b).min(b.max(-a))
            }
            _ => length(x - 0.6 * size, y).min(length(x + 0.6 * size, y)) - 0.42 * size,
        }
    }

    /// Distance to stripes of width `period`, half of them inside.
    fn stripe(&self, at: f32, phase: f32) -> f32 {
        let along = at / (2.0 * self.period) + phase;
        let along = along - along.floor();
        ((along - 0.5).abs() - 0.25) * 2.0 * self.period
    }
}
