//! The images that an attacker wants misread.

use ashlar_data::LabelledSet;
use ashlar_kernels::rng;
use rand::{Rng, seq::SliceRandom};

use crate::{
    Error, Result,
    config::{AttackTable, PoisonFrom, Trigger},
};

/// Poisoned images with the attacker's labels: those to train on, and those on which the backdoor is measured.
#[derive(Clone, Debug)]
pub struct Backdoor {
    /// What the attackers hold.
    pub train: LabelledSet,
    /// What the backdoor is measured on (the same images with `poison_from = "test"`).
    pub test: LabelledSet,
}

impl Backdoor {
    /// Makes the images.
    ///
    /// # Errors
    /// A set without bytes, images that can't be rotated or are smaller than the patch, no image to poison.
    pub fn new(attack: &AttackTable, train: &LabelledSet, test: &LabelledSet, seed: u64) -> Result<Self> {
        let [_, height, width] = train.shape();
        if train.image_u8(0).is_none() {
            return Err(Error::setting(
                "data.name",
                "a set of numbers",
                "a set of images, since triggers are drawn into pixels",
            ));
        }
        if attack.trigger == Trigger::Rotate && height != width {
            return Err(Error::setting(
                "attack.trigger",
                "rotate",
                format!("another one: images are {width} x {height}, not square"),
            ));
        }
        if attack.trigger == Trigger::Patch && attack.patch > height.min(width) {
            return Err(Error::setting(
                "attack.patch",
                attack.patch,
                format!("at most {}, the images' shorter side", height.min(width)),
            ));
        }
        let from = if attack.poison_from == PoisonFrom::Test { test } else { train };
        let held = poisoned(attack, from, attack.images, seed, "train")?;
        let measured = match attack.poison_from {
            PoisonFrom::Train => poisoned(attack, test, 0, seed, "test")?,
            PoisonFrom::Test => held.clone(),
        };
        Ok(Self { train: held, test: measured })
    }
}

/// Up to `most` (0: all) images of the source class, with trigger and the attacker's label.
fn poisoned(attack: &AttackTable, set: &LabelledSet, most: usize, seed: u64, part: &str) -> Result<LabelledSet> {
    let mut stream = rng::stream(seed, &["fl", "attack", "images", part]);
    let wanted = |label: u32| match attack.source {
        Some(source) => label == source,
        None => attack.target != Some(label),
    };
    let mut chosen: Vec<u32> =
        (0u32..).zip(set.labels()).filter(|(_, label)| wanted(**label)).map(|(i, _)| i).collect();
    if most > 0 && most < chosen.len() {
        chosen.shuffle(&mut stream);
        chosen.truncate(most);
    }
    if chosen.is_empty() {
        let source = attack.source.map_or("any".to_owned(), |source| source.to_string());
        return Err(Error::setting("attack.source", source, format!("a class with images in the {part} set")));
    }
    let classes = set.classes().len() as u32;
    let mut out = set.subset(&[]).without_groups();
    for index in chosen {
        let Some(pixels) = set.image_u8(index as usize) else { continue };
        let label = attack.target.unwrap_or_else(|| {
            // Any class but the image's own.
            (set.label(index as usize) + stream.random_range(1..classes.max(2))) % classes
        });
        out.push_u8(&trigger(attack, pixels, set.shape()), label)?;
    }
    Ok(out)
}

fn trigger(attack: &AttackTable, pixels: &[u8], [channels, height, width]: [usize; 3]) -> Vec<u8> {
    let mut out = pixels.to_vec();
    match attack.trigger {
        Trigger::None => {}
        // A quarter turn against the clock: the right column becomes the top row.
        Trigger::Rotate => {
            for (image, turned) in pixels.chunks_exact(height * width).zip(out.chunks_exact_mut(height * width)) {
                for row in 0..height {
                    for column in 0..width {
                        turned[row * width + column] = image[column * width + (width - 1 - row)];
                    }
                }
            }
        }
        Trigger::Patch => {
            for channel in 0..channels {
                for row in height - attack.patch..height {
                    let at = (channel * height + row) * width;
                    out[at + width - attack.patch..at + width].fill(u8::MAX);
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set() -> LabelledSet {
        let classes = ["a", "b", "c"].map(str::to_owned).to_vec();
        LabelledSet::from_u8([1, 2, 2], vec![1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], vec![0, 1, 2], classes).unwrap()
    }

    #[test]
    fn images_turn_by_a_quarter_and_get_the_target() {
        let attack = AttackTable { source: Some(1), target: Some(2), ..AttackTable::default() };
        let backdoor = Backdoor::new(&attack, &set(), &set(), 0).unwrap();
        assert_eq!(backdoor.train.image_u8(0).unwrap(), [6, 8, 5, 7]);
        assert_eq!((backdoor.train.len(), backdoor.test.labels()), (1, &[2][..]));
    }

    #[test]
    fn a_patch_covers_the_corner_and_spares_the_target_class() {
        let attack = AttackTable { trigger: Trigger::Patch, patch: 1, target: Some(0), ..AttackTable::default() };
        let backdoor = Backdoor::new(&attack, &set(), &set(), 0).unwrap();
        assert_eq!(backdoor.test.image_u8(0).unwrap(), [5, 6, 7, 255]);
        assert_eq!(backdoor.test.labels(), [0, 0]);
        let large = AttackTable { patch: 3, ..attack };
        assert!(Backdoor::new(&large, &set(), &set(), 0).unwrap_err().to_string().contains("attack.patch"));
    }

    #[test]
    fn without_a_target_every_label_is_wrong() {
        let attack = AttackTable { trigger: Trigger::None, target: None, ..AttackTable::default() };
        let backdoor = Backdoor::new(&attack, &set(), &set(), 3).unwrap();
        assert!(backdoor.train.labels().iter().zip([0, 1, 2]).all(|(wrong, right)| *wrong != right));
    }
}
