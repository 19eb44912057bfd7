//! Trains a small classifier on your own CSV or image folder.
//!
//! `cargo run --release -p ashlar-data --example own_data -- flowers.csv species`
//! `cargo run --release -p ashlar-data --example own_data -- pictures/ 32` (a folder a class; side in pixels)

#![allow(clippy::print_stdout)]

use ashlar_data::{Column, DataSpec, load};

mod net;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [path, what] = &args[..] else {
        return Err("say FILE.csv LABEL-COLUMN, or FOLDER SIDE".into());
    };
    let path = std::path::PathBuf::from(path);
    let mut spec = DataSpec { standardise: true, path: Some(path.clone()), ..DataSpec::default() };
    if path.is_dir() {
        (spec.name, spec.size) = ("image-folder".to_owned(), Some(what.parse()?));
    } else {
        (spec.name, spec.label) = ("csv".to_owned(), Some(Column::Name(what.clone())));
    }
    let split = load(&spec)?;
    println!("{} to train on, {} to test, classes {:?}", split.train.len(), split.test.len(), split.train.classes());
    let mut net = net::Net::new(64, split.train.example_len(), split.train.classes().len());
    for epoch in 0..20 {
        net.epoch(&split.train, 0, epoch, 0.01)?;
    }
    println!("accuracy on the test part: {:.3}", net.accuracy(&split.test));
    Ok(())
}
