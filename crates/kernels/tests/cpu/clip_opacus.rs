//! Norms, factors and clipped sums are those of Opacus 1.5.4 within 1e-5, layer by layer
//! (`scripts/fixtures/opacus_clip.py`).

use ashlar_kernels::clip::ghost::{self, LinearShape, NormMethod, Window};
use ashlar_kernels::clip::{ClipRule, Clipper, TokenGroups};
use serde_json::Value;

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect()
}

fn floats(value: &Value) -> Vec<f32> {
    numbers(value).iter().map(|&x| x as f32).collect()
}

fn near(got: &[f64], expected: &[f64], what: &str) {
    let scale = expected.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
    assert_eq!(got.len(), expected.len(), "{what}");
    for (got, expected) in got.iter().zip(expected) {
        assert!((got - expected).abs() <= 1e-5 * scale, "{what}: {got} for {expected}");
    }
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| x as f64).collect()
}

/// One parameter of a layer: its squared norms, and how its clipped sum is made.
type Parameter<'a> = (&'a str, Vec<f64>, Box<dyn Fn(&[f32], &mut [f32]) + 'a>);

/// A weight `[p, d]` and its bias.
fn linear<'a>(shape: LinearShape, a: Vec<f32>, b: Vec<f32>) -> Vec<Parameter<'a>> {
    let norms = ghost::linear_squared_norms(shape, &a, &b, NormMethod::Gram).unwrap();
    near(&ghost::linear_squared_norms(shape, &a, &b, NormMethod::Explicit).unwrap(), &norms, "explicit");
    let bias = ghost::channel_gradients(None, &b, shape.positions, shape.outputs).unwrap();
    vec![
        ("weight", norms, Box::new(move |c, sum| ghost::linear_weighted_sum(shape, &a, &b, c, sum).unwrap())),
        channels("bias", bias, shape.outputs),
    ]
}

/// Adds weighted gradients to a sum.
type Sum<'a> = dyn Fn(&[f32], &mut [f32]) + 'a;

fn channels(name: &str, g: Vec<f32>, width: usize) -> Parameter<'_> {
    let norms = ghost::squared_norms(&g, width).unwrap();
    (name, norms, Box::new(move |c, sum| ghost::weighted_sum(&g, c, sum).unwrap()))
}

fn parameters(case: &Value) -> Vec<Parameter<'static>> {
    let shape: Vec<usize> = numbers(&case["shape"]).iter().map(|&x| x as usize).collect();
    let b = floats(&case["b"]);
    match (case["name"].as_str().unwrap(), &shape[..]) {
        ("linear" | "linear sequence", &[samples, positions, inputs, outputs]) => {
            linear(LinearShape { samples, positions, inputs, outputs }, floats(&case["a"]), b)
        }
        ("embedding", &[_, positions, width, vocabulary]) => {
            let tokens: Vec<u32> = numbers(&case["a"]).iter().map(|&x| x as u32).collect();
            let groups = TokenGroups::new(&tokens, positions, vocabulary).unwrap();
            let norms = ghost::embedding_squared_norms(&groups, &b, width).unwrap();
            let sum: Box<Sum> = Box::new(move |c, sum| ghost::embedding_weighted_sum(&groups, &b, c, sum).unwrap());
            vec![("weight", norms, sum)]
        }
        ("layer norm", &[_, positions, width]) => {
            let normalised = |row: &[f32]| {
                let mean = wide(row).iter().sum::<f64>() / width as f64;
                let variance = wide(row).iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
                row.iter().map(|&x| ((x as f64 - mean) / (variance + 1e-5).sqrt()) as f32).collect::<Vec<_>>()
            };
            let x: Vec<f32> = floats(&case["a"]).chunks(width).flat_map(normalised).collect();
            let scale = ghost::channel_gradients(Some(&x), &b, positions, width).unwrap();
            let bias = ghost::channel_gradients(None, &b, positions, width).unwrap();
            vec![channels("weight", scale, width), channels("bias", bias, width)]
        }
        ("convolution", &[samples, c, height, width, outputs]) => {
            let window = Window { kernel: 3, stride: 2, padding: 1, dilation: 1 };
            let (a, positions) = ghost::unfold(&floats(&case["a"]), [c, height, width], window).unwrap();
            let b = ghost::positions_first(&b, outputs, positions).unwrap();
            linear(LinearShape { samples, positions, inputs: c * 9, outputs }, a, b)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn clipped_sums_are_those_of_opacus() {
    let fixture: Value = serde_json::from_str(include_str!("../fixtures/opacus_clip.json")).unwrap();
    let clipper = Clipper::new(ClipRule::Flat, fixture["bound"].as_f64().unwrap(), 1).unwrap();
    let cases = fixture["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let name = case["name"].as_str().unwrap();
        let parameters = parameters(case);
        let samples = numbers(&case["norms"]).len();
        let mut total = vec![0.0; samples];
        for (parameter, norms, _) in &parameters {
            near(norms, &numbers(&case["squared"][parameter]), &format!("{name} {parameter}"));
            total.iter_mut().zip(norms).for_each(|(total, norm)| *total += norm);
        }
        let factors = clipper.factors(total).unwrap();
        near(&wide(factors.values()), &numbers(&case["factors"]), name);
        assert!(factors.clipped() > 0, "{name}: a test of nothing");
        for (parameter, _, weighted_sum) in &parameters {
            let expected = numbers(&case["sums"][parameter]);
            let mut sum = vec![0.0; expected.len()];
            weighted_sum(factors.values(), &mut sum);
            near(&wide(&sum), &expected, &format!("{name} {parameter}, sum"));
        }
    }
}
