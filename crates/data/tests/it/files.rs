//! Files of each format: what is read, and what a wrong one is told.

use std::{fs, path::Path};

use ashlar_data::{Column, DataSpec, Error, Fit, LabelledSet, load, load_text, read};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn message(error: &Error) -> String {
    assert!(error.is_input(), "{error}");
    error.to_string()
}

fn idx(dims: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dims.len() as u8];
    dims.iter().for_each(|dim| bytes.extend(dim.to_be_bytes()));
    bytes.extend(data);
    bytes
}

#[test]
fn an_idx_folder_loads_and_its_mistakes_are_named() {
    let folder = folder();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("train-images-idx3-ubyte", &idx(&[3, 1, 2], &[0, 1, 2, 3, 4, 5]));
    write("train-labels-idx1-ubyte", &idx(&[3], &[0, 2, 1]));
    write("t10k-images-idx3-ubyte", &idx(&[1, 1, 2], &[9, 9]));
    write("t10k-labels-idx1-ubyte", &idx(&[1], &[2]));
    let spec = DataSpec { name: "idx".into(), path: Some(folder.path().into()), ..DataSpec::default() };
    let split = load(&spec).unwrap();
    assert_eq!((split.train.shape(), split.train.labels()), ([1, 1, 2], &[0, 2, 1][..]));
    assert_eq!(split.train.image_u8(1), Some(&[2, 3][..]));

    write("train-labels-idx1-ubyte", &idx(&[2], &[0, 2]));
    assert!(message(&load(&spec).unwrap_err()).contains("labels of shape [2] for 3 images"));
    write("train-labels-idx1-ubyte", &idx(&[3], &[0, 2]));
    let text = message(&load(&spec).unwrap_err());
    assert!(
        text.contains("train-labels-idx1-ubyte, byte 8: [3] needs 3 bytes of data, found 2")
            && text.contains("fetch it again"),
        "{text}"
    );
    write("train-labels-idx1-ubyte", b"hello, world");
    assert!(message(&load(&spec).unwrap_err()).contains("this is no IDX file"));
    write("train-labels-idx1-ubyte", &[0, 0, 0x0d, 1, 0, 0, 0, 0]);
    assert!(message(&load(&spec).unwrap_err()).contains("only unsigned bytes (0x08) are read"));
    fs::remove_file(folder.path().join("train-labels-idx1-ubyte")).unwrap();
    assert!(message(&load(&spec).unwrap_err()).contains("train-labels-idx1-ubyte; set `path` or ASHLAR_DATA"));
}

#[test]
fn a_missing_set_names_the_paths_the_variable_and_the_command() {
    let spec = DataSpec { name: "mnist".into(), path: Some("nowhere".into()), ..DataSpec::default() };
    let text = message(&load(&spec).unwrap_err());
    for part in ["nowhere", "ASHLAR_DATA", "`ashlar data fetch mnist`"] {
        assert!(text.contains(part), "{text}");
    }
    let text = message(&load(&DataSpec { name: "minst".into(), ..DataSpec::default() }).unwrap_err());
    assert!(text.contains("`minst` is no data set") && text.contains("procedural-images"), "{text}");
    let text = message(&load(&DataSpec { name: "names".into(), ..DataSpec::default() }).unwrap_err());
    assert!(text.contains("load_text"), "{text}");
}

#[test]
fn cifar_records_must_be_whole_and_labels_known() {
    let variant = read::cifar::Variant::Cifar10;
    let parse = |bytes: &[u8]| read::cifar::parse(Path::new("batch.bin"), bytes, variant);
    let mut bytes = vec![3; 2 * 3073];
    assert_eq!(parse(&bytes).unwrap().labels(), [3, 3]);
    assert!(message(&parse(&bytes[..5000]).unwrap_err()).starts_with("batch.bin, byte 3073: 5000 bytes are not"));
    bytes[3073] = 10;
    assert!(message(&parse(&bytes).unwrap_err()).starts_with("batch.bin, record 1: label 10"));
    let mut bytes = vec![0; 3074];
    (bytes[0], bytes[1]) = (4, 99);
    assert_eq!(read::cifar::parse(Path::new("t"), &bytes, read::cifar::Variant::Cifar100).unwrap().labels(), [99]);
}

fn csv(text: &str, change: impl FnOnce(&mut DataSpec)) -> ashlar_data::Result<LabelledSet> {
    let mut spec = DataSpec { name: "csv".into(), label: Some(Column::Name("kind".into())), ..DataSpec::default() };
    change(&mut spec);
    read::table::parse_labelled(Path::new("t.csv"), text.as_bytes(), &spec)
}

#[test]
fn csv_takes_names_places_quotes_and_groups() {
    let set = csv("a,kind,b,who\n1,\"x, y\",2,p\n3,z,-4e1,q\n5,z,6,p\n", |spec| {
        spec.group = Some(Column::Name("who".into()));
    })
    .unwrap();
    assert_eq!((set.shape(), set.classes()), ([2, 1, 1], &["x, y".to_owned(), "z".to_owned()][..]));
    assert_eq!((set.batch(&[1]), set.groups()), (vec![3.0, -40.0], Some(&[0, 1, 0][..])));
    let set = csv("10,1\n9,2\n2,3\n", |spec| {
        spec.header = false;
        spec.label = Some(Column::Index(0));
    })
    .unwrap();
    // Whole numbers are ordered as numbers.
    assert_eq!((set.classes().join(" "), set.labels()), ("2 9 10".to_owned(), &[2, 1, 0][..]));
}

#[test]
fn csv_mistakes_name_line_and_remedy() {
    let text = message(&csv("a,kind\n1,x\n?,y\n", |_| {}).unwrap_err());
    assert!(text.contains("t.csv, line 3: column 0 `a` holds `?`, which is no finite number"), "{text}");
    assert!(message(&csv("a,kind\n1,x\n2\n", |_| {}).unwrap_err()).contains("1 fields, but the first line has 2"));
    assert!(message(&csv("a,kind\nnan,x\n", |_| {}).unwrap_err()).contains("no finite number"));
    assert!(message(&csv("a,sort\n1,x\n", |_| {}).unwrap_err()).contains("no column `kind`; it has a, sort"));
    assert!(message(&csv("a,kind\n", |_| {}).unwrap_err()).contains("no rows"));
    assert!(message(&csv("kind\nx\n", |_| {}).unwrap_err()).contains("no feature column"));
    let by_name_without_header = csv("1,x\n", |spec| spec.header = false).unwrap_err();
    assert!(message(&by_name_without_header).contains("give the column's place"));
    let without = csv("a,kind\n1,x\n", |spec| spec.label = None).unwrap_err();
    assert!(message(&without).contains("which column of t.csv holds the class"));
    let beyond = csv("a,kind\n1,x\n", |spec| spec.label = Some(Column::Index(2))).unwrap_err();
    assert!(message(&beyond).contains("2 columns, counted from 0"));
}

#[test]
fn csv_holds_out_a_fifth_of_each_class() {
    let folder = folder();
    let rows: String =
        (0..100).map(|row| format!("{row},{}\n", if row % 4 == 0 { "rare" } else { "common" })).collect();
    let path = folder.path().join("t.csv");
    fs::write(&path, format!("x,kind\n{rows}")).unwrap();
    let mut spec = DataSpec {
        name: "csv".into(),
        path: Some(path),
        label: Some(Column::Name("kind".into())),
        ..DataSpec::default()
    };
    let split = load(&spec).unwrap();
    assert_eq!((split.train.class_counts(), split.test.class_counts()), (vec![60, 20], vec![15, 5]));
    spec.test = Some(40);
    spec.train = Some(50);
    let split = load(&spec).unwrap();
    assert_eq!((split.train.len(), split.test.len()), (50, 40));
    spec.test = Some(100);
    assert!(message(&load(&spec).unwrap_err()).contains("`test`"));
}

#[test]
fn json_lines_and_text_load() {
    let folder = folder();
    let path = folder.path().join("t.jsonl");
    let lines: String =
        (0..10).map(|n| format!("{{\"q\": \"why {n}\", \"a\": {n}, \"k\": {}}}\n", n % 2 == 0)).collect();
    fs::write(&path, &lines).unwrap();
    let mut spec = DataSpec {
        name: "jsonl".into(),
        path: Some(path.clone()),
        text: vec![Column::Name("q".into()), Column::Name("a".into())],
        label: Some(Column::Name("k".into())),
        ..DataSpec::default()
    };
    let split = load_text(&spec).unwrap();
    assert_eq!((split.train.len(), split.test.len(), split.train.classes().len()), (8, 2, 2));
    assert!(split.train.texts().iter().any(|text| text == "why 3\n3" || text == "why 4\n4"));
    fs::write(&path, lines + "\n{\"q\": 1, \"k\"").unwrap();
    let text = message(&load_text(&spec).unwrap_err());
    assert!(text.contains("t.jsonl, line 12: no JSON object"), "{text}");
    fs::write(&path, "{\"q\": \"x\"}\n").unwrap();
    assert!(message(&load_text(&spec).unwrap_err()).contains("line 1: no field `a`; there is q"));
    fs::write(&path, [b'{', 0xff]).unwrap();
    assert!(message(&load_text(&spec).unwrap_err()).contains("byte 1: not UTF-8"));
    spec.path = Some(folder.path().join("absent"));
    assert!(message(&load_text(&spec).unwrap_err()).contains("absent"));

    fs::write(folder.path().join("ann.txt"), "one\n\ntwo\nthree\n").unwrap();
    fs::write(folder.path().join("bob.txt"), "four\nfive\n").unwrap();
    let text = DataSpec { name: "text".into(), path: Some(folder.path().into()), ..DataSpec::default() };
    let split = load_text(&text).unwrap();
    assert_eq!((split.train.len() + split.test.len(), split.train.group_names().join(" ")), (5, "ann bob".into()));
}

fn picture(path: &Path, width: u32, height: u32, value: u8) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_pixel(width, height, image::Rgb([value, 0, 255 - value])).save(path).unwrap();
}

#[test]
fn image_folders_load_resize_and_name_the_file_that_differs() {
    let folder = folder();
    for index in 0..5u8 {
        picture(&folder.path().join(format!("cat/{index}.png")), 6, 6, index);
        picture(&folder.path().join(format!("dog/{index}.jpg")), 6, 6, 200);
    }
    fs::write(folder.path().join("cat/.DS_Store"), "x").unwrap();
    let mut spec = DataSpec { name: "image-folder".into(), path: Some(folder.path().into()), ..DataSpec::default() };
    let split = load(&spec).unwrap();
    assert_eq!((split.train.shape(), split.train.len(), split.test.len()), ([3, 6, 6], 8, 2));
    assert_eq!(split.train.classes(), ["cat", "dog"]);
    picture(&folder.path().join("dog/odd.png"), 9, 4, 7);
    let text = message(&load(&spec).unwrap_err());
    assert!(text.contains("odd.png: 9 × 4 pixels, but") && text.contains("set `size`"), "{text}");
    for fit in [Fit::Crop, Fit::Stretch] {
        (spec.size, spec.fit, spec.grey) = (Some(4), fit, true);
        assert_eq!(load(&spec).unwrap().train.shape(), [1, 4, 4]);
    }
    fs::write(folder.path().join("cat/broken.png"), b"\x89PNG\r\n\x1a\nnothing").unwrap();
    assert!(message(&load(&spec).unwrap_err()).contains("broken.png: not a PNG or JPEG image"));
    spec.size = Some(0);
    assert!(message(&load(&spec).unwrap_err()).contains("`size`"));
}

#[test]
fn train_and_test_folders_are_kept_apart() {
    let folder = folder();
    picture(&folder.path().join("train/a/0.png"), 3, 3, 1);
    picture(&folder.path().join("train/b/0.png"), 3, 3, 2);
    picture(&folder.path().join("test/b/0.png"), 3, 3, 3);
    let spec = DataSpec { name: "image-folder".into(), path: Some(folder.path().into()), ..DataSpec::default() };
    let split = load(&spec).unwrap();
    assert_eq!((split.train.labels(), split.test.labels()), (&[0, 1][..], &[1][..]));
    assert!(
        message(&load(&DataSpec { path: Some(folder.path().join("train/a")), ..spec }).unwrap_err()).contains("folder")
    );
}

#[test]
fn sets_refuse_what_does_not_fit_together() {
    let classes = || vec!["a".to_owned(), "b".to_owned()];
    let wrong = |result: ashlar_data::Result<LabelledSet>| message(&result.unwrap_err());
    assert_eq!(
        wrong(LabelledSet::from_u8([1, 1, 2], vec![0; 3], vec![0, 1], classes())),
        "features has 3 elements, expected 4"
    );
    assert!(wrong(LabelledSet::from_u8([1, 1, 1], vec![0; 2], vec![0, 2], classes())).contains("example 1: label 2"));
    assert!(wrong(LabelledSet::from_u8([0, 1, 1], vec![], vec![], classes())).contains("`shape`"));
    assert!(wrong(LabelledSet::from_u8([usize::MAX, 2, 1], vec![], vec![], classes())).contains("`shape`"));
    let nan = LabelledSet::from_f32([2, 1, 1], vec![0.0, 1.0, f32::NAN, 0.0], vec![0, 1], classes());
    assert!(wrong(nan).contains("example 1: feature 0 is NaN"));
    let mut set = LabelledSet::from_u8([1, 1, 2], vec![1, 2], vec![1], classes()).unwrap();
    set.push_u8(&[3, 4], 0).unwrap();
    assert_eq!((set.image_u8(1), set.image_u8(2), set.labels()), (Some(&[3, 4][..]), None, &[1, 0][..]));
    assert!(set.push_u8(&[3], 0).is_err() && set.push_u8(&[3, 4], 2).is_err() && set.push_f32(&[0.0, 0.0], 0).is_err());
    assert!(set.clone().with_groups(vec![0], vec!["w".into()]).is_err());
    assert!(set.with_groups(vec![0, 1], vec!["w".into()]).is_err());
}

#[test]
fn keys_that_a_set_does_not_read_are_refused() {
    for (text, key) in [
        ("name = 'mnist10k'\nlabel = 'x'", "label"),
        ("path = 'x'", "path"),
        ("name = 'cifar10'\nsize = 3", "size"),
        ("name = 'mnist'\ngroups = 3", "groups"),
    ] {
        let text = message(&load(&toml::from_str(text).unwrap()).unwrap_err());
        assert!(text.starts_with(&format!("`{key}`: not read for")), "{text}");
    }
    assert!(toml::from_str::<DataSpec>("nmae = 'mnist'").is_err());
    assert!(toml::from_str::<DataSpec>("label = -1").is_err());
    let spec: DataSpec = toml::from_str("name = 'csv'\nlabel = 4\ntext = ['a', 1]").unwrap();
    assert_eq!(toml::from_str::<DataSpec>(&toml::to_string(&spec).unwrap()).unwrap(), spec);
}
