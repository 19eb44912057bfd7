//! The same layers as a graph of candle operations: what runs on a device other than the CPU, and the reference that
//! the tests hold `net` against.

use candle_core::{D, Device, Result, Tensor, Var, bail};

use crate::net::{Layer, Param};

/// Named variables of a flat vector.
pub fn variables(params: &[Param], flat: &[f32], device: &Device) -> Result<Vec<(String, Var)>> {
    params
        .iter()
        .map(|p| {
            let tensor = Tensor::from_slice(&flat[p.range()], p.shape.as_slice(), device)?;
            Ok((p.name.clone(), Var::from_tensor(&tensor)?))
        })
        .collect()
}

/// Logits `[B, classes]` of images `[B, C, H, W]`; `vars` in name order.
pub fn forward(layers: &[Layer], vars: &[(String, Var)], x: &Tensor) -> Result<Tensor> {
    let find = |layer: &str, part: &str| {
        let name = format!("{layer}.{part}");
        match vars.binary_search_by(|(n, _)| n.as_str().cmp(&name)) {
            Ok(at) => Ok(vars[at].1.as_tensor()),
            Err(_) => bail!("no parameter {name}"),
        }
    };
    let mut x = x.clone();
    let mut saved = x.clone();
    for layer in layers {
        x = match layer {
            Layer::Conv { name, channels, kernel, bias } => {
                let y = x.conv2d(find(name, "weight")?, kernel / 2, 1, 1, 1)?;
                if *bias { y.broadcast_add(&find(name, "bias")?.reshape((1, *channels, 1, 1))?)? } else { y }
            }
            Layer::Linear { name, bias, .. } => {
                let y = x.flatten_from(1)?.matmul(&find(name, "weight")?.t()?)?;
                if *bias { y.broadcast_add(find(name, "bias")?)? } else { y }
            }
            Layer::GroupNorm { name, groups } => {
                let (n, channels, height, width) = x.dims4()?;
                let grouped = x.reshape((n, *groups, channels / groups * height * width))?;
                let centred = grouped.broadcast_sub(&grouped.mean_keepdim(D::Minus1)?)?;
                let deviation = (centred.sqr()?.mean_keepdim(D::Minus1)? + 1e-5)?.sqrt()?;
                let y = centred.broadcast_div(&deviation)?.reshape((n, channels, height, width))?;
                y.broadcast_mul(&find(name, "weight")?.reshape((1, channels, 1, 1))?)?
                    .broadcast_add(&find(name, "bias")?.reshape((1, channels, 1, 1))?)?
            }
            Layer::Relu => x.relu()?,
            Layer::MaxPool(size) => {
                // Not candle's own max_pool2d: its backward divides the gradient by the size of the square (0.11.1,
                // where a share of maxima stands for their number).
                let (n, channels, height, width) = x.dims4()?;
                let (rows, cols) = (height / size, width / size);
                let inner = x.narrow(2, 0, rows * size)?.narrow(3, 0, cols * size)?;
                // [B, C, rows, size, cols, size]
                let squares = inner.reshape(vec![n, channels, rows, *size, cols, *size])?;
                squares.max(5)?.max(3)?
            }
            Layer::Flatten => x.flatten_from(1)?,
            Layer::Scale(factor) => (x * *factor)?,
            Layer::Save => {
                saved = x.clone();
                x
            }
            Layer::AddSaved => (x + &saved)?,
        };
    }
    Ok(x)
}

/// Mean cross-entropy of logits `[B, classes]`.
pub fn loss(logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    let centred = logits.broadcast_sub(&logits.max_keepdim(D::Minus1)?.detach())?;
    let log_softmax = centred.broadcast_sub(&centred.exp()?.sum_keepdim(D::Minus1)?.log()?)?;
    let labels = Tensor::from_slice(labels, (labels.len(), 1), logits.device())?;
    log_softmax.gather(&labels, D::Minus1)?.mean_all()?.neg()
}
