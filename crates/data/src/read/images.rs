//! Image folders: a folder a class, PNG and JPEG files in it.
//!
//! `root/CLASS/*.png`, or `root/train/CLASS/…` beside `root/test/CLASS/…`. Without [`DataSpec::size`] all images must
//! have one size. Classes and files are taken in the order of their names; other files are passed over.

use std::{
    collections::BTreeSet,
    io::Cursor,
    path::{Path, PathBuf},
};

use image::{DynamicImage, ImageReader, Limits, imageops::FilterType};

use super::format_error;
use crate::{DataSpec, Error, Fit, LabelledSet, Result, error::Place};

/// Largest side of an image file, in pixels.
const MAX_SIDE: u32 = 16_384;
/// Deflate's 1032 : 1 on one-bit pixels; JPEG spends a bit on 64 pixels at least.
const MAX_PIXELS_A_BYTE: u64 = 1032 * 8;
/// Most memory that decoding one image may take.
const MAX_DECODE: u64 = 256 << 20;

/// Reads a folder into one set, or into a training and a test set where it has folders of these names.
pub fn read(root: &Path, spec: &DataSpec) -> Result<(LabelledSet, Option<LabelledSet>)> {
    if spec.size == Some(0) || spec.size > Some(MAX_SIDE) {
        return Err(Error::value("size", format!("say 1 to {MAX_SIDE} pixels")));
    }
    let (train, test) = (root.join("train"), root.join("test"));
    if !(train.is_dir() && test.is_dir()) {
        let mut shape = None;
        return Ok((read_part(root, &class_folders(root)?, spec, &mut shape)?, None));
    }
    let classes: BTreeSet<String> = class_folders(&train)?.into_iter().chain(class_folders(&test)?).collect();
    let classes: Vec<String> = classes.into_iter().collect();
    let mut shape = None;
    let train = read_part(&train, &classes, spec, &mut shape)?;
    Ok((train, Some(read_part(&test, &classes, spec, &mut shape)?)))
}

fn class_folders(root: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for path in entries(root)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !name.starts_with('.') {
            names.push(name);
        }
    }
    names.sort();
    if names.is_empty() {
        let remedy = "make a folder for each class and put its images there";
        return Err(format_error(root, Place::File, "no folder inside", remedy));
    }
    Ok(names)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = folder.read_dir().map_err(Error::io(folder, "list"))?;
    read.map(|entry| entry.map(|entry| entry.path()).map_err(Error::io(folder, "list"))).collect()
}

/// Every image of these classes. `shape` is that of the first image and binds all others, with the file it came from.
fn read_part(
    root: &Path,
    classes: &[String],
    spec: &DataSpec,
    shape: &mut Option<(PathBuf, [usize; 3])>,
) -> Result<LabelledSet> {
    let (mut pixels, mut labels) = (Vec::new(), Vec::new());
    for (label, class) in (0u32..).zip(classes) {
        let folder = root.join(class);
        if !folder.is_dir() {
            continue;
        }
        let mut files = entries(&folder)?;
        files.retain(|file| is_image(file));
        files.sort();
        if files.is_empty() {
            tracing::warn!(folder = %folder.display(), "no .png, .jpg or .jpeg file in this class");
        }
        for file in files {
            let (found, image) = parse(&file, &super::bytes(&file)?, spec)?;
            match shape {
                None => *shape = Some((file, found)),
                Some((_, expected)) if *expected == found => {}
                Some((first, [_, height, width])) => {
                    let problem =
                        format!("{} × {} pixels, but {} has {width} × {height}", found[2], found[1], first.display());
                    return Err(format_error(
                        &file,
                        Place::File,
                        problem,
                        "set `size` to bring all images to one size",
                    ));
                }
            }
            if (pixels.len() + image.len()) as u64 > super::MAX_FILE {
                let problem = format!("more than {} bytes of pixels", super::MAX_FILE);
                return Err(format_error(root, Place::File, problem, "set a smaller `size`"));
            }
            pixels.extend(image);
            labels.push(label);
        }
    }
    let Some((_, shape)) = shape else {
        return Err(format_error(root, Place::File, "no image in any class folder", "put .png or .jpg files there"));
    };
    LabelledSet::from_u8(*shape, pixels, labels, classes.to_vec())
}

fn is_image(path: &Path) -> bool {
    let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    !hidden && path.is_file() && matches!(extension.as_deref(), Some("png" | "jpg" | "jpeg"))
}

/// Decodes one image into channel-first bytes and its shape; `path` is for messages.
pub fn parse(path: &Path, bytes: &[u8], spec: &DataSpec) -> Result<([usize; 3], Vec<u8>)> {
    let broken = |problem: String| format_error(path, Place::File, problem, "replace or remove the file");
    let open = || ImageReader::new(Cursor::new(bytes)).with_guessed_format();
    let unreadable =
        |error: &dyn std::fmt::Display| broken(format!("not a PNG or JPEG image that can be read ({error})"));
    let (width, height) = open().map_err(|e| unreadable(&e))?.into_dimensions().map_err(|e| unreadable(&e))?;
    if u64::from(width) * u64::from(height) > (bytes.len() as u64).saturating_mul(MAX_PIXELS_A_BYTE) {
        return Err(broken(format!("announces {width} × {height} pixels, more than {} bytes can hold", bytes.len())));
    }
    let mut reader = open().map_err(|e| unreadable(&e))?;
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODE);
    reader.limits(limits);
    let image =
        reader.decode().map_err(|error| broken(format!("not a PNG or JPEG image that can be read ({error})")))?;
    let image = match spec.size {
        Some(size) => resize(&image, size, spec.fit),
        None => image,
    };
    let (width, height) = (image.width() as usize, image.height() as usize);
    if width == 0 || height == 0 {
        return Err(broken("an image without pixels".to_owned()));
    }
    if spec.grey {
        return Ok(([1, height, width], image.into_luma8().into_raw()));
    }
    let interleaved = image.into_rgb8().into_raw();
    let mut planes = Vec::with_capacity(interleaved.len());
    for channel in 0..3 {
        planes.extend(interleaved.iter().skip(channel).step_by(3));
    }
    Ok(([3, height, width], planes))
}

fn resize(image: &DynamicImage, size: u32, fit: Fit) -> DynamicImage {
    if (image.width(), image.height()) == (size, size) {
        return image.clone();
    }
    match fit {
        Fit::Stretch => image.resize_exact(size, size, FilterType::Triangle),
        // Cutting first gives the same picture and never makes a larger one on the way.
        Fit::Crop => {
            let side = image.width().min(image.height());
            let (x, y) = ((image.width() - side) / 2, (image.height() - side) / 2);
            image.crop_imm(x, y, side, side).resize_exact(size, size, FilterType::Triangle)
        }
    }
}
