//! Runs a read model in 64 bits, operator by operator as ONNX describes them: slow, plain loops.

use std::collections::BTreeMap;

use super::reader::{Model, Node, Values};

#[derive(Debug, Clone)]
pub(super) struct Tensor {
    pub(super) dims: Vec<usize>,
    pub(super) data: Vec<f64>,
}

/// Every value of the model with this input.
pub(super) fn run(model: &Model, input: &[f32], batch: usize) -> BTreeMap<String, Tensor> {
    let mut values = BTreeMap::new();
    for (name, constant) in &model.constants {
        let data = match &constant.values {
            Values::Floats(v) => v.iter().map(|v| f64::from(*v)).collect(),
            Values::Ints(v) => v.iter().map(|v| *v as f64).collect(),
        };
        let dims = constant.dims.clone();
        values.insert(name.clone(), Tensor { dims, data });
    }
    let [described] = &model.inputs[..] else {
        panic!("one input")
    };
    let dims: Vec<usize> = described.dims.iter().map(|d| d.unwrap_or(batch)).collect();
    let data: Vec<f64> = input.iter().map(|v| f64::from(*v)).collect();
    assert_eq!(data.len(), dims.iter().product::<usize>());
    values.insert(described.name.clone(), Tensor { dims, data });
    for node in &model.nodes {
        let inputs: Vec<&Tensor> = node.inputs.iter().map(|name| &values[name]).collect();
        let found = apply(node, &inputs);
        assert_eq!(
            found.data.len(),
            found.dims.iter().product::<usize>(),
            "{}",
            node.op
        );
        assert!(values.insert(node.output.clone(), found).is_none());
    }
    for output in &model.outputs {
        let wanted: Vec<usize> = output.dims.iter().map(|d| d.unwrap_or(batch)).collect();
        assert_eq!(values[&output.name].dims, wanted, "{}", output.name);
    }
    values
}

fn apply(node: &Node, inputs: &[&Tensor]) -> Tensor {
    let x = inputs[0];
    match node.op.as_str() {
        "Conv" => conv(node, x, inputs[1], inputs[2]),
        "ConvTranspose" => conv_transpose(node, x, inputs[1], inputs[2]),
        "Gemm" => {
            let [rows, inner] = x.dims[..] else {
                panic!("Gemm wants two axes")
            };
            let columns = inputs[1].dims[1];
            let mut data = Vec::with_capacity(rows * columns);
            for r in 0..rows {
                for c in 0..columns {
                    let sum: f64 = (0..inner)
                        .map(|k| x.data[r * inner + k] * inputs[1].data[k * columns + c])
                        .sum();
                    data.push(sum + inputs[2].data[c]);
                }
            }
            Tensor {
                dims: vec![rows, columns],
                data,
            }
        }
        "MatMul" => matmul(x, inputs[1]),
        "Add" => broadcast(x, inputs[1], |a, b| a + b),
        "Sub" => broadcast(x, inputs[1], |a, b| a - b),
        "Mul" => broadcast(x, inputs[1], |a, b| a * b),
        "Div" => broadcast(x, inputs[1], |a, b| a / b),
        "Sqrt" => each(x, f64::sqrt),
        "Sigmoid" => each(x, |v| 1.0 / (1.0 + (-v).exp())),
        "Relu" => each(x, |v| v.max(0.0)),
        "LeakyRelu" => {
            let slope = f64::from(node.floats["alpha"]);
            each(x, |v| if v < 0.0 { slope * v } else { v })
        }
        "Clip" => {
            let (least, most) = (inputs[1].data[0], inputs[2].data[0]);
            each(x, |v| v.clamp(least, most))
        }
        "Reshape" => {
            let known: f64 = inputs[1].data.iter().filter(|d| **d > 0.0).product();
            let rest = x.data.len() / known as usize;
            let dim = |d: &f64| if *d < 0.0 { rest } else { *d as usize };
            Tensor {
                dims: inputs[1].data.iter().map(dim).collect(),
                data: x.data.clone(),
            }
        }
        "Transpose" => {
            let order: Vec<usize> = node.ints["perm"].iter().map(|v| *v as usize).collect();
            transpose(x, &order)
        }
        "SpaceToDepth" => {
            let b = node.ints["blocksize"][0] as usize;
            let [n, c, h, w] = x.dims[..] else {
                panic!("SpaceToDepth wants four axes")
            };
            let blocks = reshape(x, &[n, c, h / b, b, w / b, b]);
            let deep = transpose(&blocks, &[0, 3, 5, 1, 2, 4]);
            reshape(&deep, &[n, b * b * c, h / b, w / b])
        }
        "DepthToSpace" => {
            assert_eq!(node.texts["mode"], "DCR");
            let b = node.ints["blocksize"][0] as usize;
            let [n, c, h, w] = x.dims[..] else {
                panic!("DepthToSpace wants four axes")
            };
            let blocks = reshape(x, &[n, b, b, c / (b * b), h, w]);
            let wide = transpose(&blocks, &[0, 3, 4, 1, 5, 2]);
            reshape(&wide, &[n, c / (b * b), h * b, w * b])
        }
        "ReduceMean" => reduce_mean(node, x),
        "Gather" => {
            assert_eq!(node.ints["axis"], [1]);
            let inner: usize = x.dims[2..].iter().product();
            let mut data = Vec::new();
            for n in 0..x.dims[0] {
                for index in &inputs[1].data {
                    let at = (n * x.dims[1] + *index as usize) * inner;
                    data.extend_from_slice(&x.data[at..at + inner]);
                }
            }
            let mut dims = x.dims.clone();
            dims[1] = inputs[1].data.len();
            Tensor { dims, data }
        }
        other => panic!("{other} is not known here"),
    }
}

fn each(x: &Tensor, f: impl Fn(f64) -> f64) -> Tensor {
    Tensor {
        dims: x.dims.clone(),
        data: x.data.iter().map(|v| f(*v)).collect(),
    }
}

fn reshape(x: &Tensor, dims: &[usize]) -> Tensor {
    Tensor {
        dims: dims.to_vec(),
        data: x.data.clone(),
    }
}

fn strides(dims: &[usize]) -> Vec<usize> {
    let mut out = vec![1; dims.len()];
    for i in (1..dims.len()).rev() {
        out[i - 1] = out[i] * dims[i];
    }
    out
}

/// Visits every place of `dims` in order.
fn places(dims: &[usize]) -> impl Iterator<Item = Vec<usize>> + '_ {
    let strides = strides(dims);
    (0..dims.iter().product()).map(move |flat: usize| {
        let axes = dims.iter().zip(&strides);
        axes.map(|(size, stride)| flat / stride % size).collect()
    })
}

fn transpose(x: &Tensor, order: &[usize]) -> Tensor {
    let dims: Vec<usize> = order.iter().map(|a| x.dims[*a]).collect();
    let from = strides(&x.dims);
    let data = places(&dims)
        .map(|place| {
            x.data[place
                .iter()
                .zip(order)
                .map(|(p, a)| p * from[*a])
                .sum::<usize>()]
        })
        .collect();
    Tensor { dims, data }
}

fn broadcast(a: &Tensor, b: &Tensor, f: impl Fn(f64, f64) -> f64) -> Tensor {
    let axes = a.dims.len().max(b.dims.len());
    let padded = |t: &Tensor| [vec![1; axes - t.dims.len()], t.dims.clone()].concat();
    let (left, right) = (padded(a), padded(b));
    let dims: Vec<usize> = left.iter().zip(&right).map(|(l, r)| *l.max(r)).collect();
    for (side, dim) in [&left, &right]
        .into_iter()
        .flat_map(|s| s.iter().zip(&dims))
    {
        assert!(side == dim || *side == 1, "{left:?} and {right:?}");
    }
    let at = |place: &[usize], own: &[usize]| -> usize {
        let steps = strides(own);
        let axes = place.iter().zip(own).zip(steps);
        axes.map(|((p, size), step)| if *size == 1 { 0 } else { p * step })
            .sum()
    };
    let data = places(&dims)
        .map(|place| f(a.data[at(&place, &left)], b.data[at(&place, &right)]))
        .collect();
    Tensor { dims, data }
}

fn reduce_mean(node: &Node, x: &Tensor) -> Tensor {
    let axes: Vec<usize> = node.ints["axes"].iter().map(|v| *v as usize).collect();
    let keep = node.ints.get("keepdims").is_none_or(|v| v[0] == 1);
    let mut dims = x.dims.clone();
    axes.iter().for_each(|a| dims[*a] = 1);
    let to = strides(&dims);
    let mut data = vec![0.0; dims.iter().product()];
    let count = x.data.len() / data.len();
    for (place, value) in places(&x.dims).zip(&x.data) {
        let at: usize = (0..place.len())
            .filter(|a| !axes.contains(a))
            .map(|a| place[a] * to[a])
            .sum();
        data[at] += value / count as f64;
    }
    if !keep {
        let mut axis = 0;
        dims.retain(|_| {
            axis += 1;
            !axes.contains(&(axis - 1))
        });
    }
    Tensor { dims, data }
}

/// One of the two has two axes, the other four.
fn matmul(a: &Tensor, b: &Tensor) -> Tensor {
    let (rows, inner) = (a.dims[a.dims.len() - 2], a.dims[a.dims.len() - 1]);
    let columns = b.dims[b.dims.len() - 1];
    assert_eq!(b.dims[b.dims.len() - 2], inner);
    let many = if a.dims.len() > 2 { a } else { b };
    let count: usize = many.dims[..many.dims.len() - 2].iter().product();
    let step = |t: &Tensor| t.data.len() / if t.dims.len() > 2 { count } else { 1 };
    let part = |t: &Tensor, i: usize| if t.dims.len() > 2 { i * step(t) } else { 0 };
    let mut data = Vec::with_capacity(count * rows * columns);
    for i in 0..count {
        let (x, y) = (&a.data[part(a, i)..], &b.data[part(b, i)..]);
        for r in 0..rows {
            for c in 0..columns {
                data.push(
                    (0..inner)
                        .map(|k| x[r * inner + k] * y[k * columns + c])
                        .sum(),
                );
            }
        }
    }
    let mut dims = many.dims[..many.dims.len() - 2].to_vec();
    dims.extend([rows, columns]);
    Tensor { dims, data }
}

fn window(node: &Node) -> ([usize; 4], [usize; 2]) {
    let pads = &node.ints["pads"];
    let strides = &node.ints["strides"];
    (
        [0, 1, 2, 3].map(|i| pads[i] as usize),
        [0, 1].map(|i| strides[i] as usize),
    )
}

fn conv(node: &Node, x: &Tensor, w: &Tensor, bias: &Tensor) -> Tensor {
    let ([n, ci, h, width], [co, wi, kh, kw]) = (four(x), four(w));
    assert_eq!(
        (ci, &node.ints["kernel_shape"][..]),
        (wi, &[kh as i64, kw as i64][..])
    );
    let ([top, left, bottom, right], [sy, sx]) = window(node);
    let (oh, ow) = (
        (h + top + bottom - kh) / sy + 1,
        (width + left + right - kw) / sx + 1,
    );
    let mut data = Vec::with_capacity(n * co * oh * ow);
    for picture in 0..n {
        for o in 0..co {
            for y in 0..oh {
                for column in 0..ow {
                    let mut sum = bias.data[o];
                    for ky in 0..kh {
                        let Some(iy) = (y * sy + ky).checked_sub(top).filter(|v| *v < h) else {
                            continue;
                        };
                        for kx in 0..kw {
                            let at = (column * sx + kx).checked_sub(left);
                            let Some(ix) = at.filter(|v| *v < width) else {
                                continue;
                            };
                            for c in 0..ci {
                                sum += x.data[((picture * ci + c) * h + iy) * width + ix]
                                    * w.data[((o * ci + c) * kh + ky) * kw + kx];
                            }
                        }
                    }
                    data.push(sum);
                }
            }
        }
    }
    Tensor {
        dims: vec![n, co, oh, ow],
        data,
    }
}

fn conv_transpose(node: &Node, x: &Tensor, w: &Tensor, bias: &Tensor) -> Tensor {
    let ([n, ci, h, width], [wi, co, kh, kw]) = (four(x), four(w));
    assert_eq!(ci, wi);
    let ([top, left, bottom, right], [sy, sx]) = window(node);
    let oh = (h - 1) * sy + kh - top - bottom;
    let ow = (width - 1) * sx + kw - left - right;
    let mut out = Tensor {
        dims: vec![n, co, oh, ow],
        data: Vec::with_capacity(n * co * oh * ow),
    };
    for _ in 0..n {
        for o in 0..co {
            out.data.resize(out.data.len() + oh * ow, bias.data[o]);
        }
    }
    for picture in 0..n {
        for c in 0..ci {
            for y in 0..h {
                for column in 0..width {
                    let value = x.data[((picture * ci + c) * h + y) * width + column];
                    for ky in 0..kh {
                        let Some(oy) = (y * sy + ky).checked_sub(top).filter(|v| *v < oh) else {
                            continue;
                        };
                        for kx in 0..kw {
                            let at = (column * sx + kx).checked_sub(left);
                            let Some(ox) = at.filter(|v| *v < ow) else {
                                continue;
                            };
                            for o in 0..co {
                                out.data[((picture * co + o) * oh + oy) * ow + ox] +=
                                    value * w.data[((c * co + o) * kh + ky) * kw + kx];
                            }
                        }
                    }
                }
            }
        }
    }
    out
}

fn four(t: &Tensor) -> [usize; 4] {
    t.dims[..].try_into().unwrap()
}
