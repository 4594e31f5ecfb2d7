//! Round trips of a small folder, every refusal, damaged files.

use std::path::Path;

use super::*;
use hdf5_pure::{AttrValue, FileBuilder};

/// The smallest network there is: some 60 000 numbers.
fn small() -> LegacyNet {
    LegacyNet::new(2, 16, 32).unwrap()
}

fn count(shapes: &[Vec<usize>]) -> usize {
    shapes.iter().map(|s| s.iter().product::<usize>()).sum()
}

/// Numbers that are all different.
fn numbers(n: usize, seed: f32) -> Vec<f32> {
    (0..n).map(|i| seed + i as f32 / 1e6).collect()
}

fn write_small(dir: &Path) -> [Vec<f32>; 3] {
    let net = small();
    let encoder = numbers(count(&net.encoder_shapes()), -0.5);
    let a = numbers(count(&net.decoder_shapes()), 0.25);
    let b = numbers(count(&net.decoder_shapes()), 1.0);
    write_legacy(dir, net, &encoder, [&a, &b]).unwrap();
    [encoder, a, b]
}

#[test]
fn what_is_written_reads_back_to_the_bit() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("model");
    let [encoder, a, b] = write_small(&dir);
    let back = read_legacy(&dir).unwrap();
    assert_eq!(back.net, small());
    assert_eq!(back.writer.backend.as_deref(), Some("tensorflow"));
    assert_eq!(back.writer.keras_version.as_deref(), Some("2.1.2"));
    assert!(back.encoder == encoder && back.decoders == [a, b]);
    // Written again: the same bytes, and never over something else.
    let again = home.path().join("again");
    let decoders = [&back.decoders[0][..], &back.decoders[1]];
    write_legacy(&again, back.net, &back.encoder, decoders).unwrap();
    for file in LEGACY_FILES {
        assert!(std::fs::read(dir.join(file)).unwrap() == std::fs::read(again.join(file)).unwrap());
    }
    let taken = write_legacy(&dir, back.net, &back.encoder, decoders).unwrap_err();
    assert!(matches!(taken, Error::LegacyFolderTaken { .. }), "{taken}");
    assert_eq!(
        entries(home.path()).unwrap().len(),
        2,
        "nothing is left beside"
    );
}

#[test]
fn colours_lie_in_the_files_as_bgr() {
    let home = tempfile::tempdir().unwrap();
    let dir = home.path().join("model");
    let [encoder, a, _] = write_small(&dir);
    let open = |file: &str| hdf5::open(std::fs::read(dir.join(file)).unwrap()).unwrap();
    let stored = open("encoder.h5").read_all().unwrap();
    let width = 4;
    // First tap: inputs of blue, green and red.
    assert_eq!(stored[..width], encoder[2 * width..3 * width]);
    assert_eq!(stored[width..2 * width], encoder[width..2 * width]);
    assert_eq!(stored[2 * width..3 * width], encoder[..width]);
    assert_eq!(stored[75 * width..], encoder[75 * width..]);
    let stored = open("decoder_A.h5").read_all().unwrap();
    let n = a.len();
    assert_eq!(stored[n - 3..], [a[n - 1], a[n - 2], a[n - 3]]);
    let before_output = n - 3 - 25 * 2 * 3;
    assert_eq!(stored[..before_output], a[..before_output]);
}

#[test]
fn folders_of_other_habits_can_be_put_right() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("old");
    write_small(&path);
    let plain = read_legacy(&path).unwrap();
    // RGB in the files: what was exchanged goes back, and nothing else moves.
    let mut rgb = plain.clone();
    rgb.keep_colours();
    let width = small().width(0);
    assert!(rgb.encoder[..width] == plain.encoder[2 * width..3 * width]);
    assert!(rgb.encoder[25 * 3 * width..] == plain.encoder[25 * 3 * width..]);
    let last = plain.decoders[1].len() - 3;
    assert_eq!(rgb.decoders[1][last], plain.decoders[1][last + 2]);
    rgb.keep_colours();
    assert!(rgb == plain);
    // Channels first in the files: number (channel, row, column) of a picture goes to where (row,
    // column, channel) is read.
    let mut rows = plain.clone();
    rows.flatten_by_rows();
    let net = small();
    let (n, layers) = (usize::from(net.nodes()), usize::from(net.layers()));
    let shapes = net.encoder_shapes();
    let start = |i: usize| -> usize {
        shapes[..i]
            .iter()
            .map(|s| s.iter().product::<usize>())
            .sum()
    };
    let (first, side, channels) = (start(2 * layers), 64 >> layers, net.width(layers - 1));
    for (row, column, channel) in [
        (0, 0, 0),
        (0, 1, 0),
        (3, 2, 1),
        (side - 1, side - 1, channels - 1),
    ] {
        let theirs = (channel * side + row) * side + column;
        let ours = (row * side + column) * channels + channel;
        let (a, b) = (
            &rows.encoder[first + ours * n..][..n],
            &plain.encoder[first + theirs * n..][..n],
        );
        assert!(a == b, "{row} {column} {channel}");
    }
    let (second, drawn) = (start(2 * layers + 2), shapes[2 * layers + 4][2]);
    let numbers = shapes[2 * layers + 2][1];
    let side = (numbers / drawn).isqrt();
    for (node, row, column, channel) in
        [(0, 0, 0, 1), (n - 1, 1, 2, 3), (1, side - 1, 0, drawn - 1)]
    {
        let theirs = (channel * side + row) * side + column;
        let ours = (row * side + column) * drawn + channel;
        assert_eq!(
            rows.encoder[second + node * numbers + ours],
            plain.encoder[second + node * numbers + theirs]
        );
        let bias = second + n * numbers;
        assert_eq!(rows.encoder[bias + ours], plain.encoder[bias + theirs]);
    }
    let behind = start(2 * layers + 4);
    assert!(rows.encoder[..first] == plain.encoder[..first]);
    assert!(rows.encoder[behind..] == plain.encoder[behind..]);
}

#[test]
fn names_count_as_in_a_fresh_process() {
    let net = LegacyNet::new(4, 1024, 1).unwrap();
    let names = |file: KerasFile| -> Vec<String> {
        file.layers.into_iter().map(|(name, _)| name).collect()
    };
    assert_eq!(
        names(net.keras_encoder()).join(" "),
        "input_1 conv2d_1 leaky_re_lu_1 conv2d_2 leaky_re_lu_2 conv2d_3 leaky_re_lu_3 conv2d_4 \
         leaky_re_lu_4 flatten_1 dense_1 dense_2 reshape_1 conv2d_5 leaky_re_lu_5 pixel_shuffler_1"
    );
    assert_eq!(
        names(net.keras_decoder(0)).join(" "),
        "input_2 conv2d_6 leaky_re_lu_6 pixel_shuffler_2 conv2d_7 leaky_re_lu_7 pixel_shuffler_3 \
         conv2d_8 leaky_re_lu_8 pixel_shuffler_4 conv2d_9"
    );
    assert_eq!(
        names(net.keras_decoder(1)).join(" "),
        "input_3 conv2d_10 leaky_re_lu_9 pixel_shuffler_5 conv2d_11 leaky_re_lu_10 \
         pixel_shuffler_6 conv2d_12 leaky_re_lu_11 pixel_shuffler_7 conv2d_13"
    );
    assert_eq!(count(&net.encoder_shapes()), 69_662_976);
    assert_eq!(count(&net.decoder_shapes()), 6_199_747);
}

/// A file with other names, other numbers and other ways of saying the same.
struct Odd {
    f64s: bool,
    halves: bool,
    theano: bool,
    split: bool,
    saved_model: bool,
    in_pieces: bool,
}

fn odd_file(shapes: &[Vec<usize>], data: &[f32], odd: &Odd) -> Vec<u8> {
    let mut file = FileBuilder::new();
    let layers: Vec<String> = (0..shapes.len() / 2)
        .map(|i| format!("z{}", 90 - i))
        .collect();
    let mut at = 0;
    let mut attributes = vec![(
        "backend".to_owned(),
        AttrValue::VarLenString(if odd.theano { "theano" } else { "tensorflow" }.into()),
    )];
    let layer_names = std::iter::once("nothing".to_owned()).chain(layers.iter().cloned());
    if odd.split {
        for (i, name) in layer_names.enumerate() {
            let value = AttrValue::VarLenStringArray(vec![name]);
            attributes.push((format!("layer_names{i}"), value));
        }
    } else {
        let value = AttrValue::StringArray(layer_names.collect());
        attributes.push(("layer_names".into(), value));
    }
    let mut groups = Vec::new();
    let mut nothing = file.create_group("nothing");
    nothing.set_attr("weight_names", AttrValue::I32Array(Vec::new()));
    groups.push(nothing.finish());
    for (layer, pair) in layers.iter().zip(shapes.chunks(2)) {
        let mut group = file.create_group(layer);
        let names = vec!["b".to_owned(), "a".to_owned()];
        group.set_attr("weight_names", AttrValue::StringArray(names));
        for (name, shape) in ["b", "a"].into_iter().zip(pair) {
            let len: usize = shape.iter().product();
            let part = &data[at..at + len];
            at += len;
            let dims: Vec<u64> = shape.iter().map(|n| *n as u64).collect();
            let dataset = group.create_dataset(name);
            if odd.f64s {
                let wide: Vec<f64> = part.iter().map(|v| f64::from(*v)).collect();
                dataset.with_f64_data(&wide);
            } else if odd.halves {
                let half = hdf5_pure::Datatype::FloatingPoint {
                    size: 2,
                    byte_order: hdf5_pure::DatatypeByteOrder::BigEndian,
                    layout: hdf5_pure::FloatingPointLayout {
                        bit_offset: 0,
                        bit_precision: 16,
                        exponent_location: 10,
                        exponent_size: 5,
                        mantissa_location: 0,
                        mantissa_size: 10,
                        exponent_bias: 15,
                    },
                };
                // 1.5 is 0 01111 1000000000.
                let raw = [0x3e, 0x00].repeat(len);
                dataset.with_raw_data(half, raw, len as u64);
            } else {
                dataset.with_f32_data(part);
            }
            dataset.with_shape(&dims);
            if odd.in_pieces {
                dataset.with_chunks(&dims);
            }
        }
        groups.push(group.finish());
    }
    if odd.saved_model {
        let mut model = file.create_group("model_weights");
        for group in groups {
            model.add_group(group);
        }
        for (name, value) in attributes {
            model.set_attr(&name, value);
        }
        file.add_group(model.finish());
    } else {
        for group in groups {
            file.add_group(group);
        }
        for (name, value) in attributes {
            file.set_attr(&name, value);
        }
    }
    file.finish().unwrap()
}

const PLAIN: Odd = Odd {
    f64s: false,
    halves: false,
    theano: false,
    split: false,
    saved_model: false,
    in_pieces: false,
};

#[test]
fn other_ways_of_saying_the_same_are_read() {
    let shapes = small().decoder_shapes();
    let data = numbers(count(&shapes), 0.5);
    let read = |odd: Odd| {
        let weights = hdf5::open(odd_file(&shapes, &data, &odd)).unwrap();
        assert_eq!(weights.shapes(), shapes);
        weights.read_all().unwrap()
    };
    assert_eq!(read(PLAIN), data);
    assert_eq!(
        read(Odd {
            f64s: true,
            ..PLAIN
        }),
        data
    );
    assert_eq!(
        read(Odd {
            split: true,
            ..PLAIN
        }),
        data
    );
    assert_eq!(
        read(Odd {
            saved_model: true,
            ..PLAIN
        }),
        data
    );
    assert_eq!(
        read(Odd {
            halves: true,
            ..PLAIN
        }),
        vec![1.5; data.len()]
    );
    let in_pieces = Odd {
        in_pieces: true,
        ..PLAIN
    };
    let refused = hdf5::open(odd_file(&shapes, &data, &in_pieces)).err();
    assert!(refused.unwrap().contains("h5repack"));
    // Theano: of a 3x3 kernel the last tap comes first; biases stay.
    let turned = read(Odd {
        theano: true,
        ..PLAIN
    });
    let tap = shapes[0][2] * shapes[0][3];
    assert_eq!(turned[..tap], data[8 * tap..9 * tap]);
    assert_eq!(turned[4 * tap..5 * tap], data[4 * tap..5 * tap]);
    assert_eq!(turned[9 * tap..9 * tap + 32], data[9 * tap..9 * tap + 32]);
}

#[test]
fn other_networks_are_refused_by_name() {
    let original = LegacyNet::new(4, 1024, 1).unwrap();
    let good = original.encoder_shapes();
    assert_eq!(recognise::encoder(&good), Ok(original));
    let lowmem = LegacyNet::new(3, 512, 1).unwrap();
    assert_eq!(recognise::encoder(&lowmem.encoder_shapes()), Ok(lowmem));
    let refused = |shapes: &[Vec<usize>], word: &str| {
        let other = recognise::encoder(shapes).unwrap_err();
        assert!(other.what.contains(word), "{other:?}");
    };
    refused(&[], "not known");
    refused(&good[..8], "IAE");
    refused(&[vec![16384, 512], vec![512]], "IAE");
    refused(&original.decoder_shapes(), "a decoder");
    let mut gan = good.clone();
    gan[0] = vec![3, 3, 3, 128];
    refused(&gan, "faceswap-GAN");
    let mut norm = good.clone();
    norm.insert(2, vec![128]);
    norm.insert(3, vec![128]);
    refused(&norm, "faceswap-GAN");
    let mut large = good.clone();
    large[8] = vec![8 * 8 * 1024, 1024];
    refused(&large, "128 px");
    let mut odd = good.clone();
    odd[4] = vec![5, 5, 256, 500];
    odd[5] = vec![500];
    refused(&odd, "not known");
    let mut huge = good.clone();
    huge[8] = vec![16384, usize::MAX];
    huge[9] = vec![usize::MAX];
    refused(&huge, "not known");
    let refused = |shapes: &[Vec<usize>], word: &str| {
        let other = recognise::decoder(shapes, original).unwrap_err();
        assert!(other.what.contains(word), "{other:?}");
    };
    let decoder = original.decoder_shapes();
    assert_eq!(recognise::decoder(&decoder, original), Ok(()));
    refused(&small().decoder_shapes(), "not known");
    let mut masked = decoder.clone();
    masked.extend([vec![5, 5, 64, 1], vec![1]]);
    refused(&masked, "dfaker");
    let mut residual = decoder.clone();
    residual.insert(2, vec![3, 3, 512, 512]);
    refused(&residual, "dfaker");
}

#[test]
fn folders_without_the_files_are_refused_with_a_hint() {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("IAE_encoder.h5"), b"x").unwrap();
    let error = read_legacy(home.path()).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("encoder.h5, decoder_A.h5, decoder_B.h5"),
        "{text}"
    );
    assert!(error.hint().unwrap().contains("IAE"));
    for file in LEGACY_FILES {
        std::fs::write(home.path().join(file), b"not HDF5").unwrap();
    }
    let error = read_legacy(home.path()).unwrap_err();
    assert!(matches!(error, Error::BadLegacyFile { .. }), "{error}");
    assert!(error.hint().is_some());
}

/// A small file of few bytes of data, so that most of what is damaged is structure.
fn tiny_file(odd: &Odd) -> Vec<u8> {
    let shapes = [vec![2, 2, 3, 2], vec![2], vec![4, 3], vec![3]];
    odd_file(&shapes, &numbers(count(&shapes), 0.5), odd)
}

/// Written by h5py 2.7 with the old file format; `testdata/keras_tiny.py` made it.
const BY_H5PY: &[u8] = include_bytes!("../../testdata/keras_tiny.h5");

/// Files that are read: by h5py, and by our own writer in two ways.
pub(super) fn good_files() -> [Vec<u8>; 3] {
    let split = Odd {
        split: true,
        ..PLAIN
    };
    [BY_H5PY.to_vec(), tiny_file(&PLAIN), tiny_file(&split)]
}

#[test]
fn a_file_by_h5py_is_read_in_keras_order() {
    let weights = hdf5::open(BY_H5PY.to_vec()).unwrap();
    assert_eq!(weights.backend.as_deref(), Some("tensorflow"));
    assert_eq!(weights.keras_version.as_deref(), Some("2.1.2"));
    let shapes: [&[usize]; 4] = [&[2, 2, 3, 2], &[2], &[4, 3], &[3]];
    assert_eq!(weights.shapes(), shapes);
    let numbers = weights.read_all().unwrap();
    // numpy's RandomState(0) begins so; biases count up.
    assert_eq!(numbers[..2], [0.548_813_5, 0.715_189_34]);
    assert_eq!(numbers[24..26], [0.0, 1.0]);
    assert_eq!(numbers[38..], [0.0, 1.0, 2.0]);
}

#[test]
fn damaged_files_end_in_an_answer() {
    let mut answers = 0;
    let mut look = |bytes: Vec<u8>| {
        let read = hdf5::open(bytes).and_then(|w| {
            // What `read_legacy` does between the two: only known shapes are read.
            let len: usize = w.shapes().iter().map(|s| s.iter().product::<usize>()).sum();
            if len > 1 << 20 {
                return Err("large".into());
            }
            w.read_all()
        });
        answers += usize::from(read.is_err());
    };
    let split = Odd {
        split: true,
        ..PLAIN
    };
    for good in [BY_H5PY.to_vec(), tiny_file(&split)] {
        for cut in (0..good.len()).step_by(13) {
            look(good[..cut].to_vec());
        }
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= if at % 2 == 0 { 0xff } else { 1 << (at / 2 % 8) };
            look(bad);
        }
    }
    assert!(answers > 100, "{answers}");
}

#[test]
fn a_claimed_size_is_not_believed() {
    let mut file = FileBuilder::new();
    file.set_attr("layer_names", AttrValue::StringArray(vec!["a".into()]));
    let mut group = file.create_group("a");
    group.set_attr("weight_names", AttrValue::StringArray(vec!["w".into()]));
    group
        .create_dataset("w")
        .with_f32_data(&[1.0; 77])
        .with_shape(&[77]);
    file.add_group(group.finish());
    let good = file.finish().unwrap();
    assert_eq!(hdf5::open(good.clone()).unwrap().shapes(), [[77]]);
    // The dimension as it lies in the dataspace, made a thousand million times larger.
    let needle = 77u64.to_le_bytes();
    let places: Vec<usize> = (0..good.len() - 8)
        .filter(|i| good[*i..*i + 8] == needle)
        .collect();
    assert!(!places.is_empty());
    for at in places {
        let mut bad = good.clone();
        bad[at..at + 8].copy_from_slice(&77_000_000_000u64.to_le_bytes());
        if let Ok(weights) = hdf5::open(bad) {
            assert_eq!(weights.shapes(), [[77]]);
        }
    }
}
