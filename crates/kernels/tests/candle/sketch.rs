//! Count-sketches as linear maps.

use ashlar_kernels::candle::sketch;
use ashlar_kernels::sketch::{CountSketch, HashFamily, SketchConfig};
use candle_core::{DType, Device, Tensor};

use super::{bits, differences, elements, gradient, layouts, message, numbers, tensor};

fn configs(d: u64) -> [SketchConfig; 4] {
    let config = SketchConfig::new(d, 3, 17, 7);
    [config, config.fixed(40), config.hash(HashFamily::Poly61), SketchConfig::new(d, 5, 400, 1)]
}

#[test]
fn every_layout_gives_the_kernels_table() {
    for config in configs(500) {
        for (x, values) in layouts(13, 29) {
            let mut direct = CountSketch::new(config).expect("a configuration that works");
            direct.accumulate(&values, 100).expect("coordinates");
            let table = sketch::sketch(&x, &config, 100).expect("coordinates");
            assert_eq!(table.dims(), [config.rows as usize, config.cols as usize]);
            assert_eq!(bits(&elements(&table)), bits(direct.to_f32().table_f32()));

            let estimates = sketch::estimate(&table, &config, 90, 300).expect("coordinates");
            let expected: Vec<f32> = (90..390).map(|i| direct.estimate(i).expect("a coordinate")).collect();
            assert_eq!(bits(&elements(&estimates)), bits(&expected));
            let strided = table.t().and_then(|t| t.contiguous()?.t()).expect("a matrix");
            let estimates = sketch::estimate(&strided, &config, 90, 300).expect("coordinates");
            assert_eq!(bits(&elements(&estimates)), bits(&expected));
        }
    }
}

#[test]
fn the_sketchs_gradient_is_the_transpose() {
    for config in configs(60) {
        let (rows, cols) = (config.rows as usize, config.cols as usize);
        let (x, weights) = (tensor(&[5, 10], 1), numbers(rows * cols, 2));
        // Closed form: the places of a coordinate, in f64.
        let places = CountSketch::new(config).expect("a configuration that works");
        let expected: Vec<f64> = (7..57)
            .map(|i| {
                let cell = |row| {
                    let (bucket, minus) = places.place(row, i).expect("a coordinate");
                    let weight = weights[row as usize * cols + bucket as usize] as f64;
                    if minus { -weight } else { weight }
                };
                (0..config.rows).map(cell).sum()
            })
            .collect();
        let got = gradient(&x, &weights, |x| sketch::sketch(x, &config, 7));
        for (got, expected) in got.iter().zip(&expected) {
            assert!((*got as f64 - expected).abs() < 1e-6, "{got} for {expected}");
        }
        // x is a multiple of 2⁻²², so steps of 2⁻⁴ are exact; the sums are rounded.
        let slopes = differences(&x, &weights, 0.0625, |x| sketch::sketch(x, &config, 7));
        for (slope, expected) in slopes.iter().zip(&expected) {
            assert!((slope - expected).abs() < 1e-4, "{slope} for {expected}");
        }
    }
}

#[test]
fn an_estimates_gradient_goes_to_the_medians_cell() {
    for config in [SketchConfig::new(40, 3, 8, 7), SketchConfig::new(40, 5, 16, 3), SketchConfig::new(40, 1, 8, 3)] {
        let (rows, cols) = (config.rows as usize, config.cols as usize);
        // Magnitudes that differ by 1: a step of 1/4 changes no order, and every number is exact.
        let mut cells: Vec<f32> = (0..rows * cols).map(|i| 1.0 + ((i * 37) % (rows * cols)) as f32).collect();
        cells.iter_mut().step_by(3).for_each(|cell| *cell = -*cell);
        let table = Tensor::from_vec(cells, (rows, cols), &Device::Cpu).expect("a table");
        let weights: Vec<f32> = (0..30).map(|i| (i % 7) as f32 - 3.0).collect();
        let slopes = differences(&table, &weights, 0.25, |table| sketch::estimate(table, &config, 5, 30));
        let got = gradient(&table, &weights, |table| sketch::estimate(table, &config, 5, 30));
        assert_eq!(got.iter().map(|x| *x as f64).collect::<Vec<_>>(), slopes);
    }
}

#[test]
fn equal_rows_share_nothing_and_lose_nothing() {
    // All rows estimate 0: the whole gradient goes to the lowest row.
    let config = SketchConfig::new(10, 3, 6, 1);
    let table = Tensor::zeros((3, 6), DType::F32, &Device::Cpu).expect("a table");
    let weights = [1.0; 10];
    let got = gradient(&table, &weights, |table| sketch::estimate(table, &config, 0, 10));
    assert!(got[6..].iter().all(|&x| x == 0.0));
    assert_eq!(got[..6].iter().map(|x| x.abs() as u32 % 2).sum::<u32>() % 2, 10 % 2);
}

#[test]
fn gradients_of_gradients_are_there() {
    let config = SketchConfig::new(12, 3, 5, 1);
    let x = candle_core::Var::from_tensor(&tensor(&[12], 1)).expect("a variable");
    let square = |x: &Tensor| sketch::sketch(x, &config, 0)?.sqr()?.sum_all();
    let gradients = square(&x).and_then(|loss| loss.backward()).expect("gradients");
    // d‖Sx‖²/dx = 2SᵀSx
    let sketched = sketch::sketch(&x.detach(), &config, 0).expect("coordinates");
    let expected = gradient(&x.detach(), &elements(&sketched), |x| sketch::sketch(x, &config, 0));
    let got = elements(gradients.get(&x).expect("a gradient"));
    for (got, expected) in got.iter().zip(&expected) {
        assert!((got - 2.0 * expected).abs() < 1e-5);
    }
}

#[test]
fn what_cannot_be_sketched_is_refused() {
    let config = SketchConfig::new(20, 3, 5, 1);
    let error = message(sketch::sketch(&tensor(&[3, 4], 1), &config, 10));
    assert!(error.contains("coordinates 10..22 are outside the sketched vector of 20"), "{error}");
    let wrong = tensor(&[4], 1).to_dtype(DType::F16).expect("f16");
    assert!(message(sketch::sketch(&wrong, &config, 0)).contains("count-sketch takes f32, not f16"));
    assert!(message(sketch::sketch(&tensor(&[4], 1), &SketchConfig::new(20, 2, 5, 1), 0)).contains("rows must be odd"));
    let nan = Tensor::new(&[1.0, f32::NAN], &Device::Cpu).expect("a tensor");
    assert!(message(sketch::sketch(&nan, &config.fixed(20), 0)).contains("index 1"));

    let error = message(sketch::estimate(&tensor(&[5, 3], 1), &config, 0, 20));
    assert!(error.contains("the sketch table is [5, 3], its configuration says [3, 5]"), "{error}");
    let error = message(sketch::estimate(&tensor(&[3, 5], 1), &config, 15, 6));
    assert!(error.contains("coordinates 15..21"), "{error}");

    let empty = Tensor::zeros(0, DType::F32, &Device::Cpu).expect("empty");
    let table = sketch::sketch(&empty, &config, 20).expect("nothing to add");
    assert!(elements(&table).iter().all(|&cell| cell == 0.0));
    assert_eq!(sketch::estimate(&table, &config, 3, 0).expect("nothing to read").elem_count(), 0);
}
