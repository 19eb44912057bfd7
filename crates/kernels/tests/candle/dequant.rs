//! Packed weights.

use ashlar_kernels::candle::dequant::dequantise;
use ashlar_kernels::dequant::{Format, Group, Int4, Scale, ZeroPoint};
use candle_core::{DType, Device, Tensor};

use super::{elements, message, numbers, tensor};

#[test]
fn bytes_become_weights_of_three_types() {
    let weights = numbers(4 * 64, 1);
    let int4 = Format::Int4(Int4 { group: Group::G32, scale: Scale::F16, zero_point: ZeroPoint::Stored });
    for format in [int4, Format::Q8_0] {
        let packed = format.quantise(&weights).expect("numbers");
        let mut expected = vec![0.0_f32; weights.len()];
        format.dequantise(&packed, &mut expected).expect("fits");
        // A part of a larger tensor, as an expert's record in a file.
        let bytes = [&[7; 48][..], &packed[..]].concat();
        let bytes = Tensor::from_vec(bytes, 48 + packed.len(), &Device::Cpu).expect("bytes");
        let part = bytes.narrow(0, 48, packed.len()).expect("a part");
        let got = dequantise(&part, &format, (4, 64), DType::F32).expect("fits");
        assert_eq!((got.dims(), elements(&got)), (&[4, 64][..], expected.clone()));
        for dtype in [DType::BF16, DType::F16] {
            let got = dequantise(&part, &format, (4, 64), dtype).expect("fits");
            let rounded = Tensor::new(&expected[..], &Device::Cpu).and_then(|x| x.to_dtype(dtype)).expect("numbers");
            assert_eq!((got.dtype(), elements(&got)), (dtype, elements(&rounded)));
        }
        assert!(dequantise(&part, &format, (5, 64), DType::F32).is_err());
        assert!(message(dequantise(&part, &format, 256, DType::F64)).contains("f32, bf16 or f16, not f64"));
        assert!(!dequantise(&part, &format, 256, DType::F32).expect("fits").track_op());
    }
    let error = message(dequantise(&tensor(&[8], 1), &int4, 8, DType::F32));
    assert!(error.contains("dequantisation takes u8, not f32"), "{error}");
    let empty = Tensor::zeros(0, DType::U8, &Device::Cpu).expect("empty");
    assert_eq!(dequantise(&empty, &Format::Q8_0, 0, DType::F32).expect("nothing").elem_count(), 0);
}
