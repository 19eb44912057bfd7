//! Published sets, where they are on the disk.

use ashlar_data::{DataSpec, load, load_text, shared_data_dir};

fn named(name: &str) -> Option<DataSpec> {
    if shared_data_dir().is_none() {
        println!("skipped: no shared data (set ASHLAR_DATA)");
        return None;
    }
    Some(DataSpec { name: name.into(), ..DataSpec::default() })
}

#[test]
fn mnist10k_has_the_published_label_counts() {
    let Some(spec) = named("mnist10k") else { return };
    let split = load(&spec).unwrap();
    assert_eq!((split.train.shape(), split.train.len(), split.test.len()), ([1, 28, 28], 8_000, 2_000));
    let counts: Vec<usize> =
        split.train.class_counts().iter().zip(split.test.class_counts()).map(|(train, test)| train + test).collect();
    assert_eq!(counts, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]);
    assert_eq!(split.train.labels()[..10], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]);
    let cut = load(&DataSpec { train: Some(6_000), validation: Some(500), test: Some(1_000), ..spec.clone() }).unwrap();
    assert_eq!(cut.train.labels(), &split.train.labels()[..6_000]);
    assert_eq!(cut.validation.unwrap().labels(), &split.train.labels()[6_000..6_500]);
    assert_eq!(cut.test.labels(), &split.test.labels()[1_000..]);
    let message = load(&DataSpec { train: Some(9_000), test: Some(1_001), ..spec }).unwrap_err().to_string();
    assert!(message.contains("10001 examples asked for, but the set has 10000"), "{message}");
}

#[test]
fn cifar10_has_its_shape_and_balanced_classes() {
    let Some(spec) = named("cifar10") else { return };
    let split = load(&spec).unwrap();
    assert_eq!(split.train.shape(), [3, 32, 32]);
    assert_eq!(split.train.class_counts(), vec![split.train.len() / 10; 10]);
    assert!(split.train.len() >= 20_000 && split.test.len() >= 3_000);
}

#[test]
fn shakespeare_divides_by_speaker() {
    let Some(spec) = named("tinyshakespeare") else { return };
    let split = load_text(&spec).unwrap();
    assert!(split.train.len() + split.test.len() > 7_000);
    assert!(split.train.group_names().iter().any(|name| name == "CORIOLANUS"));
    assert_eq!(split.train.groups().unwrap().len(), split.train.len());
}

#[test]
fn names_are_all_there() {
    let Some(spec) = named("names") else { return };
    let split = load_text(&spec).unwrap();
    assert_eq!(split.train.len() + split.test.len(), 32_033);
}

#[test]
fn agnews_reads_as_csv_without_header() {
    let (Some(spec), Some(folder)) = (named("csv"), shared_data_dir()) else { return };
    let spec = DataSpec {
        path: Some(folder.join("agnews/test.csv")),
        header: false,
        label: Some(ashlar_data::Column::Index(0)),
        text: vec![ashlar_data::Column::Index(1), ashlar_data::Column::Index(2)],
        ..spec
    };
    let split = load_text(&spec).unwrap();
    assert_eq!(split.train.len() + split.test.len(), 7_600);
    assert_eq!(split.train.classes(), ["1", "2", "3", "4"]);
}
