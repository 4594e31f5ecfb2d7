//! Keras weights in HDF5: the only home of that format's library.
//!
//! A file is `save_weights`' or `model.save`'s: groups with arrays, put in order by the attributes
//! `layer_names` and `weight_names`. Shapes are known as soon as a file is open; numbers are read
//! when [`Weights::read_all`] is called, after somebody has found the shapes to be plausible.

use hdf5_pure::{
    AttrValue, Dataset, Datatype, DatatypeByteOrder, File, FileBuilder, Group, Layout, LibVer,
};

/// More layers or arrays than any network here has, to end early on nonsense.
const MAX_ARRAYS: usize = 1024;
/// The version that exported files name; the newest one that people trained the network of 2018
/// with, and whose loading rules every later Keras 2 keeps.
const KERAS_VERSION: &str = "2.1.2";

/// An open file: its arrays in Keras' order, their numbers still in the file.
pub(super) struct Weights {
    /// The attribute `backend`.
    pub(super) backend: Option<String>,
    /// The attribute `keras_version`.
    pub(super) keras_version: Option<String>,
    arrays: Vec<Array>,
}

struct Array {
    /// `layer/weight`, for messages.
    name: String,
    shape: Vec<usize>,
    dataset: Dataset,
    number: Number,
}

/// How a number is stored.
#[derive(Clone, Copy)]
struct Number {
    bytes: usize,
    big_endian: bool,
}

/// Opens a file. Nothing is allocated from a size in the file that the file itself cannot hold.
pub(super) fn open(bytes: Vec<u8>) -> Result<Weights, String> {
    let file_bytes = bytes.len() as u64;
    let file = File::from_bytes(bytes).map_err(|e| text(&e))?;
    let mut root = file.root();
    let mut attributes = root.attrs().map_err(|e| text(&e))?;
    if names(&attributes, "layer_names").is_none() {
        root = root
            .group("model_weights")
            .map_err(|_| "it has neither `layer_names` nor a group `model_weights`".to_owned())?;
        attributes = root.attrs().map_err(|e| text(&e))?;
    }
    let layers = names(&attributes, "layer_names")
        .ok_or("it does not say in which order its layers are (`layer_names`)")?;
    let word = |name: &str| {
        let value = attributes.get(name).and_then(AttrValue::as_str);
        value.map(|s| s.chars().take(40).collect::<String>())
    };
    let mut arrays = Vec::new();
    refuse_many(layers.len(), "layers")?;
    for layer in &layers {
        let group = root
            .group(layer)
            .map_err(|e| format!("layer `{}`: {}", shown(layer), text(&e)))?;
        for array in arrays_of(&group, layer, file_bytes)? {
            arrays.push(array);
        }
        refuse_many(arrays.len(), "arrays")?;
    }
    Ok(Weights {
        backend: word("backend"),
        keras_version: word("keras_version"),
        arrays,
    })
}

fn refuse_many(found: usize, what: &str) -> Result<(), String> {
    if found > MAX_ARRAYS {
        return Err(format!(
            "it has {found} {what}, at most {MAX_ARRAYS} are read"
        ));
    }
    Ok(())
}

fn arrays_of(group: &Group, layer: &str, file_bytes: u64) -> Result<Vec<Array>, String> {
    let attributes = group.attrs().map_err(|e| text(&e))?;
    let weights = names(&attributes, "weight_names")
        .ok_or_else(|| format!("layer `{}` has no `weight_names`", shown(layer)))?;
    refuse_many(weights.len(), "arrays in a layer")?;
    let mut arrays = Vec::new();
    for weight in weights {
        let name = shown(&format!("{layer}/{weight}"));
        let in_array = |reason: String| format!("array `{name}`: {reason}");
        let dataset = group.dataset(&weight).map_err(|e| in_array(text(&e)))?;
        let (shape, number) = describe(&dataset, file_bytes).map_err(in_array)?;
        arrays.push(Array {
            name,
            shape,
            dataset,
            number,
        });
    }
    Ok(arrays)
}

/// The strings of an attribute, or of its pieces `name0`, `name1`, … into which Keras cuts one of
/// more than 64 KiB. An empty array of any type is no strings; `None`: it is not there.
fn names(
    attributes: &std::collections::HashMap<String, AttrValue>,
    name: &str,
) -> Option<Vec<String>> {
    let strings = |value: &AttrValue| -> Option<Vec<String>> {
        match value.as_strings() {
            Some(strings) => Some(strings.to_vec()),
            None => {
                let empty = value.to_f64s().map(|v| v.is_empty());
                let empty = empty.or_else(|| value.to_i64s().map(|v| v.is_empty()));
                (empty == Some(true)).then(Vec::new)
            }
        }
    };
    if let Some(value) = attributes.get(name) {
        return strings(value);
    }
    let pieces = (0..MAX_ARRAYS).map_while(|i| attributes.get(&format!("{name}{i}")));
    let pieces: Option<Vec<Vec<String>>> = pieces.map(strings).collect();
    pieces.filter(|p| !p.is_empty()).map(|p| p.concat())
}

/// Shape and kind of number, if the file can hold them.
fn describe(dataset: &Dataset, file_bytes: u64) -> Result<(Vec<usize>, Number), String> {
    let datatype = dataset.datatype().map_err(|e| text(&e))?;
    let Datatype::FloatingPoint {
        size,
        byte_order,
        layout,
    } = &datatype
    else {
        return Err("its numbers are not floating point".into());
    };
    // Exponent bits and bias tell IEEE 754 from other formats of the same size, such as bfloat16.
    let bytes = match (size, layout.exponent_size, layout.exponent_bias) {
        (2, 5, 15) => 2,
        (4, 8, 127) => 4,
        (8, 11, 1023) => 8,
        _ => return Err(format!("its numbers of {size} bytes are of no known kind")),
    };
    let big_endian = match byte_order {
        DatatypeByteOrder::LittleEndian => false,
        DatatypeByteOrder::BigEndian => true,
        DatatypeByteOrder::Vax => return Err("its numbers are in the order of the VAX".into()),
    };
    // Keras 2 never wrote pieces or compressed ones. Without them nothing in a file is larger in
    // memory than in the file.
    match dataset.layout().map_err(|e| text(&e))? {
        Layout::Compact { .. } | Layout::Contiguous { .. } => {}
        _ => {
            return Err("its numbers are in pieces or compressed, which Keras 2 never wrote; `h5repack -f NONE -l CONTI OLD NEW` writes them plainly".into());
        }
    }
    let shape = dataset.shape().map_err(|e| text(&e))?;
    let stored = shape
        .iter()
        .try_fold(bytes as u64, |total, n| total.checked_mul(*n));
    if stored.is_none_or(|stored| stored > file_bytes) || shape.len() > 8 {
        return Err(format!(
            "it claims to be {shape:?}, more than a file of {file_bytes} bytes holds"
        ));
    }
    let shape = shape.iter().map(|n| usize::try_from(*n));
    let shape: Result<Vec<usize>, _> = shape.collect();
    let shape = shape.map_err(|_| "it is larger than this machine's memory".to_owned())?;
    Ok((shape, Number { bytes, big_endian }))
}

impl Weights {
    /// The shapes of all arrays in order.
    pub(super) fn shapes(&self) -> Vec<Vec<usize>> {
        self.arrays.iter().map(|a| a.shape.clone()).collect()
    }

    /// All numbers, one array behind the other, with Theano's kernels turned to TensorFlow's.
    pub(super) fn read_all(&self) -> Result<Vec<f32>, String> {
        let total: usize = self.arrays.iter().map(Array::len).sum();
        let mut out = Vec::new();
        out.try_reserve_exact(total)
            .map_err(|_| format!("there is no memory for {total} numbers"))?;
        let turned = self.backend.as_deref() == Some("theano");
        for array in &self.arrays {
            let from = out.len();
            array
                .read_into(&mut out)
                .map_err(|reason| format!("array `{}`: {reason}", array.name))?;
            if let (true, [rows, columns, inputs, outputs]) = (turned, array.shape.as_slice()) {
                turn(&mut out[from..], rows * columns, inputs * outputs);
            }
        }
        Ok(out)
    }
}

/// Turns a kernel by half a circle: the taps in reverse order, each tap as it is.
fn turn(kernel: &mut [f32], taps: usize, per_tap: usize) {
    for i in 0..taps / 2 {
        let (front, back) = kernel.split_at_mut((taps - 1 - i) * per_tap);
        front[i * per_tap..(i + 1) * per_tap].swap_with_slice(&mut back[..per_tap]);
    }
}

impl Array {
    fn len(&self) -> usize {
        self.shape.iter().product()
    }

    fn read_into(&self, out: &mut Vec<f32>) -> Result<(), String> {
        let from = out.len();
        let raw = self.dataset.read_raw().map_err(|e| text(&e))?;
        let Number { bytes, big_endian } = self.number;
        if raw.len() != self.len() * bytes {
            return Err(format!(
                "{} bytes where {} are wanted",
                raw.len(),
                self.len() * bytes
            ));
        }
        let number = |chunk: &[u8]| {
            let mut word = [0u8; 8];
            word[..bytes].copy_from_slice(chunk);
            if big_endian {
                word[..bytes].reverse();
            }
            let word = u64::from_le_bytes(word);
            match bytes {
                2 => half(word as u16),
                4 => f32::from_bits(word as u32),
                _ => f64::from_bits(word) as f32,
            }
        };
        out.extend(raw.chunks_exact(bytes).map(number));
        match out[from..].iter().find(|v| !v.is_finite()) {
            Some(v) => Err(format!("it holds a number that is not finite, {v}")),
            None => Ok(()),
        }
    }
}

/// A number of half precision (IEEE 754 binary16).
fn half(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, mantissa) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    sign * match exponent {
        0 => mantissa * 2f32.powi(-24),
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        e => (1024.0 + mantissa) * 2f32.powi(e - 25),
    }
}

/// One of an array's dimensions and its numbers.
type Part<'a> = (&'a [usize], &'a [f32]);

/// A layer to be written.
pub(super) struct NewLayer<'a> {
    /// Its name.
    pub(super) name: &'a str,
    /// Kernel and bias, if it has weights.
    pub(super) weights: Option<(Part<'a>, Part<'a>)>,
}

/// The bytes of a file as Keras 2 writes them: plain contiguous single precision. Uses the format of
/// HDF5 1.8, which the builds of 2018 read.
pub(super) fn write(layers: &[NewLayer<'_>]) -> Result<Vec<u8>, String> {
    let mut file = FileBuilder::new();
    file.with_libver_bounds(LibVer::Earliest, LibVer::V18);
    let names = layers.iter().map(|l| l.name.to_owned()).collect();
    file.set_attr("layer_names", AttrValue::AsciiStringArray(names));
    // Of variable length and ASCII: h5py gives these back as bytes, which old Keras decodes.
    let word = |text: &str| AttrValue::VarLenAsciiString(text.to_owned());
    file.set_attr("backend", word("tensorflow"));
    file.set_attr("keras_version", word(KERAS_VERSION));
    for layer in layers {
        let mut group = file.create_group(layer.name);
        match layer.weights {
            // What Keras writes for a layer without weights: an empty array of doubles.
            None => group.set_attr("weight_names", AttrValue::F64Array(Vec::new())),
            Some((kernel, bias)) => {
                let parts = [("kernel:0", kernel), ("bias:0", bias)];
                let path = |part: &str| format!("{}/{part}", layer.name);
                let names = parts.iter().map(|(part, _)| path(part)).collect();
                group.set_attr("weight_names", AttrValue::AsciiStringArray(names));
                let mut inner = group.create_group(layer.name);
                for (part, (shape, data)) in parts {
                    let shape: Vec<u64> = shape.iter().map(|n| *n as u64).collect();
                    inner
                        .create_dataset(part)
                        .with_f32_data(data)
                        .with_shape(&shape);
                }
                group.add_group(inner.finish());
            }
        }
        file.add_group(group.finish());
    }
    file.finish().map_err(|e| text(&e))
}

/// The format library's words, cut to a length that fits a message.
fn text(error: &hdf5_pure::Error) -> String {
    shown(&error.to_string())
}

/// A name out of a file as it may stand in a message.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(120).collect()
}
