//! Made-up outputs, sealed and inspected.

use std::path::{Path, PathBuf};

use stockpot_core::{ContentHash, Rgb8, Rng, Size, Unsealed};
use stockpot_media::{ClipWriter, FrameRate, OutputCodec, OutputSettings, Preset};
use stockpot_provenance::{
    Basis, FaceBox, FaceStretch, Identity, Inspector, Model, Origin, Report, SealId, Sealed,
    Sealer, SourceType, Statement, Swap,
};

/// A folder with an identity and whatever is written into it.
pub(crate) struct Room {
    folder: tempfile::TempDir,
    pub(crate) sealer: Sealer,
    pub(crate) inspector: Inspector,
}

impl Room {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let identity = folder.path().join("identity");
        let sealer = Sealer::new(Identity::open(&identity, None).unwrap());
        let inspector = Inspector::new(&identity).unwrap();
        std::fs::create_dir(folder.path().join("out")).unwrap();
        Self {
            folder,
            sealer,
            inspector,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    /// The folder of the identity.
    pub(crate) fn identity(&self) -> PathBuf {
        self.folder.path().join("identity")
    }

    /// The names in the folder of outputs.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join("out")).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    pub(crate) fn inspect(&self, name: &str) -> Report {
        self.inspector.inspect(&self.path(name)).unwrap()
    }

    /// Seals a picture of `size`.
    pub(crate) fn picture(&self, name: &str, size: u32, statement: &Statement) -> Sealed {
        let picture = noise(Size::square(size), 1);
        let target = self.path(name);
        self.sealer
            .seal_picture(&picture, &target, statement)
            .unwrap()
    }

    /// Seals a video of `frames` frames.
    pub(crate) fn video(&self, name: &str, frames: u64, statement: &Statement) -> Sealed {
        let (part, target) = self.unsealed(name, frames, OutputCodec::Auto);
        self.sealer.seal(part, &target, statement).unwrap()
    }

    /// A video that says nothing yet.
    pub(crate) fn unsealed(
        &self,
        name: &str,
        frames: u64,
        codec: OutputCodec,
    ) -> (Unsealed, PathBuf) {
        let settings = OutputSettings {
            codec,
            preset: Preset::Ultrafast,
            crf: Some(30),
            ..OutputSettings::default()
        };
        let (size, rate) = (Size::new(64, 48), FrameRate { num: 25, den: 1 });
        let path = self.path(name);
        let mut clip = ClipWriter::create(&path, size, rate, Some(16_000), &settings).unwrap();
        for frame in 0..frames {
            clip.write(noise(size, frame)).unwrap();
            clip.write_sound(&[0.1; 640]).unwrap();
        }
        let written = clip.finish().unwrap();
        (written.part, written.target)
    }
}

/// A picture that no codec can guess.
pub(crate) fn noise(size: Size, seed: u64) -> Rgb8 {
    let mut rng = Rng::stream(seed, "noise", 0);
    let bytes = size.width as usize * size.height as usize * 3;
    let data = (0..bytes).map(|_| (rng.next_u64() >> 56) as u8).collect();
    Rgb8::from_vec(size, data).unwrap()
}

/// Of something new.
pub(crate) fn rendered() -> Statement {
    Statement {
        seal: SealId::new([7; 6]),
        origin: Origin::Created(Vec::new()),
        source_type: Some(SourceType::Algorithmic),
        about: "Rendered by a test".into(),
        swaps: Vec::new(),
        mark: None,
        label: None,
        research: false,
    }
}

/// Of a swap in `source`.
pub(crate) fn swapped(source: &Path) -> Statement {
    let hash = |n: u8| ContentHash([n; 32]);
    let place = FaceBox {
        x: 3,
        y: 4,
        width: 20,
        height: 22,
    };
    Statement {
        seal: SealId::new([1, 2, 3, 4, 5, 0xf0]),
        origin: Origin::Edited(source.into()),
        source_type: Some(SourceType::CompositeWithTrained),
        about: "A face was replaced".into(),
        swaps: vec![Swap {
            model: Model {
                family: "comb-s-96".into(),
                encoder: hash(1),
                lineage: vec![hash(2), hash(3)],
                decoder: hash(4),
            },
            consent: hash(5),
            basis: Basis::Synthetic,
            frame_size: Size::new(64, 48),
            faces: vec![
                FaceStretch {
                    first: 0,
                    last: 11,
                    place,
                },
                FaceStretch {
                    first: 14,
                    last: 14,
                    place,
                },
            ],
        }],
        mark: None,
        label: None,
        research: false,
    }
}
