//! T8, identity, pose and expression: who is seen in a swap, and whether they do what was played.
//!
//! Judged by our own [`Judge`], trained on strangers, and for identity also by dlib's network. The
//! truth is what the renderer was told to play, used for judging only; the judge's own error, on B
//! truly drawn, stands beside that of the swap.

use rayon::prelude::*;
use stockpot_core::FaceLandmarks;
use stockpot_core::image::{Rgb8, Size};
use stockpot_faces::{Embedding, FaceModels};
use stockpot_jobs::JobError;
use stockpot_synth::{Person, draw};

use super::Findings;
use super::composite::{Colours, Shot, composite};
use crate::bench::World;
use crate::judge::identity::{nearest, together};
use crate::judge::strangers::{Crowd, find_face};
use crate::judge::{Judge, Played, Verdict};
use crate::outcome::{Better, Measure, Toy};
use crate::sets::{Group, Pair, Use, cut_rgb};

/// People among whom a face is looked for: the first two are A and B.
const GALLERY: u64 = 16;
/// Looks at each of them.
const LOOKS: u64 = 5;
/// Side of the drawings of the gallery: as the frames of the clips.
const SIDE: u32 = 256;
/// A swap may err so many times as much as the judge errs on B truly drawn.
const GOAL: f64 = 1.5;
/// Eyes less open than this show no gaze.
const OPEN: f32 = 0.5;

/// One face, looked at by both judges.
struct Look {
    ours: Verdict,
    dlib: Embedding,
}

/// Who is known to both judges.
struct Gallery {
    ours: Vec<Vec<f64>>,
    dlib: Vec<Embedding>,
}

/// Measures.
///
/// # Errors
/// If the pair or the judge cannot be made.
pub fn judged(world: &mut World) -> Result<Findings, JobError> {
    let pair = world.pair()?;
    let crowd = world.effort.pick(
        Crowd {
            people: 12,
            each: 4,
            side: 128,
        },
        Crowd {
            people: 60,
            each: 10,
            side: 160,
        },
        Judge::CROWD,
    );
    let judge = Judge::train(&world.head, &world.models, world.cast, crowd)?;
    world.check_cancel()?;
    let gallery = gallery(world, &judge)?;
    world.check_cancel()?;

    let moments: Vec<Played> = pair
        .stills
        .iter()
        .flat_map(|held| held.moments.iter().map(Played::of))
        .collect();
    let frames = |side: usize| -> Vec<&Rgb8> {
        let all = pair.stills.iter().flat_map(|held| &held.frames[side]);
        all.map(|f| &f.filmed).collect()
    };
    let looks = |frames: &[&Rgb8]| look_at(&world.models, &judge, frames);
    let swapped = swap(&pair, Face::Drawn)?;
    let mean = swap(&pair, Face::Mean)?;
    let refs = |all: &[Option<Rgb8>]| -> Result<Vec<Option<Look>>, JobError> {
        let there: Vec<&Rgb8> = all.iter().flatten().collect();
        let mut found = looks(&there)?.into_iter();
        Ok(all
            .iter()
            .map(|f| f.as_ref().and_then(|_| found.next().flatten()))
            .collect())
    };
    let results = Results {
        swap: refs(&swapped)?,
        truth: looks(&frames(1))?,
        copy: looks(&frames(0))?,
        mean: refs(&mean)?,
    };
    Ok(findings(&results, &moments, &gallery, crowd))
}

/// Looks by kind of picture, one entry per moment; nothing where no face was found.
struct Results {
    swap: Vec<Option<Look>>,
    truth: Vec<Option<Look>>,
    copy: Vec<Option<Look>>,
    mean: Vec<Option<Look>>,
}

fn findings(results: &Results, moments: &[Played], gallery: &Gallery, crowd: Crowd) -> Findings {
    let (mut measures, mut unseen) = (Vec::new(), Vec::new());
    type Finder = fn(&Gallery, &Look) -> Option<usize>;
    let found_by: [(&str, Finder); 2] = [
        ("B is found among 16, our judge", |g, l| {
            nearest(&g.ours, &l.ours.identity)
        }),
        ("B is found among 16, dlib", |g, l| {
            nearest_embedding(&g.dlib, &l.dlib)
        }),
    ];
    for (name, who) in found_by {
        let share = |looks: &[Option<Look>]| {
            let is_b = |l: &&Option<Look>| l.as_ref().and_then(|l| who(gallery, l)) == Some(1);
            100.0 * looks.iter().filter(is_b).count() as f64 / looks.len().max(1) as f64
        };
        measures.push(
            Measure::new(name, "%", share(&results.swap), Better::Higher)
                .with_toys(vec![
                    Toy::new("B truly drawn", share(&results.truth)),
                    Toy::new("copy the target", share(&results.copy)),
                    Toy::new("mean of B", share(&results.mean)),
                ])
                .with_goal(95.0),
        );
    }
    for (k, name) in Played::NAMES.iter().enumerate() {
        // Only moments that all can be judged by, so that nothing is compared with other moments.
        let judged = |i: &usize| {
            let all = [&results.swap, &results.truth, &results.copy, &results.mean];
            let seen = all.iter().all(|looks| looks[*i].is_some());
            seen && (!name.starts_with("gaze") || moments[*i].0[5] > OPEN)
        };
        let which: Vec<usize> = (0..moments.len()).filter(judged).collect();
        let (scale, unit) = match k {
            0..5 => (f64::from(180.0 / std::f32::consts::PI), "degrees"),
            _ => (1.0, "of 1"),
        };
        let error = |looks: &[Option<Look>]| {
            let pairs = which
                .iter()
                .filter_map(|i| Some((looks[*i].as_ref()?.ours.played.0[k], moments[*i].0[k])));
            scale * mean_error(pairs)
        };
        let (own, mean) = (error(&results.truth), error(&results.mean));
        // A face that never moves errs no more than the truth does: the judge cannot see it.
        if mean <= GOAL * own {
            unseen.push(*name);
        }
        measures.push(
            Measure::new(
                format!("{name}, error of the swap"),
                unit,
                error(&results.swap),
                Better::Lower,
            )
            .with_toys(vec![
                Toy::new("the judge's own, B truly drawn", own),
                Toy::new("copy the target", error(&results.copy)),
                Toy::new("mean of B", mean),
            ])
            .with_goal(own.is_finite().then_some(GOAL * own)),
        );
    }
    let lost = results.swap.iter().filter(|l| l.is_none()).count();
    Findings {
        measures,
        note: format!(
            "judged in {} moments; in {lost} swaps no face was found (counted as not B). The judge learned \
             from {} strangers, {} pictures each. Goals of errors are {GOAL} times the judge's own on B \
             truly drawn. {}",
            moments.len(),
            crowd.people,
            crowd.each,
            toy_remark(&unseen),
        ),
    }
}

/// What the toy that always shows the same face of B tells about the numbers.
fn toy_remark(unseen: &[&str]) -> String {
    match unseen {
        [] => "The mean of B, always the same face, fails every goal of pose and expression".into(),
        some => format!(
            "The mean of B, always the same face, reaches the goal of {}: the judge cannot tell there, so \
             that these numbers say nothing about a swap",
            some.join(", ")
        ),
    }
}

/// Mean absolute difference; not a number for none.
fn mean_error(pairs: impl Iterator<Item = (f32, f32)>) -> f64 {
    let (sum, n) = pairs.fold((0.0, 0.0), |(sum, n), (a, b)| {
        (sum + f64::from((a - b).abs()), n + 1.0)
    });
    sum / n
}

/// Which of `gallery` is nearest (the first on a tie); nothing if there is none.
fn nearest_embedding(gallery: &[Embedding], face: &Embedding) -> Option<usize> {
    (0..gallery.len()).fold(None, |best: Option<usize>, i| match best {
        Some(b) if gallery[b].distance(face) <= gallery[i].distance(face) => Some(b),
        _ => Some(i),
    })
}

fn gallery(world: &World, judge: &Judge) -> Result<Gallery, JobError> {
    let people: Vec<u64> = (0..GALLERY).collect();
    let (head, cast) = (&world.head, world.cast);
    let drawn: Vec<Vec<Rgb8>> = people
        .par_iter()
        .map(|n| {
            let person = Person::new(head, cast.person(Group::Library, *n));
            let looks = (0..LOOKS).map(|look| {
                // Played nowhere else: the highest numbers of what is held out.
                let number = 128 + (n * LOOKS + look) % 128;
                let moment = cast.performance(Use::HeldOut, number).at(look as f32);
                let size = Size::square(SIDE);
                let drawn = draw(head, &person, &moment, size).map_err(cannot_draw)?;
                Ok::<_, JobError>(drawn.rgb)
            });
            looks.collect()
        })
        .collect::<Result<_, _>>()?;
    let mut gallery = Gallery {
        ours: Vec::new(),
        dlib: Vec::new(),
    };
    for (n, frames) in drawn.iter().enumerate() {
        let seen = look_at(&world.models, judge, &frames.iter().collect::<Vec<_>>())?;
        let seen: Vec<Look> = seen.into_iter().flatten().collect();
        let ours: Vec<Vec<f64>> = seen.iter().map(|l| l.ours.identity.clone()).collect();
        let dlib: Vec<Embedding> = seen.iter().map(|l| l.dlib).collect();
        let Some(mean) = Embedding::mean(&dlib) else {
            return Err(JobError::failed(format!(
                "No face was found in any of {LOOKS} drawings of person {n}"
            )));
        };
        gallery.ours.push(together(&ours));
        gallery.dlib.push(mean);
    }
    Ok(gallery)
}

pub(crate) fn cannot_draw(e: stockpot_synth::Error) -> JobError {
    JobError::failed(format!("A frame cannot be drawn: {e}"))
}

fn look_at(
    models: &FaceModels,
    judge: &Judge,
    frames: &[&Rgb8],
) -> Result<Vec<Option<Look>>, JobError> {
    frames
        .par_iter()
        .map_init(
            || models.clone(),
            |models, frame| {
                let Some(landmarks) = find_face(models, frame)? else {
                    return Ok(None);
                };
                Ok(Some(Look {
                    ours: judge.look(frame, &landmarks)?,
                    dlib: models.embedder.embed(frame, &landmarks)?,
                }))
            },
        )
        .collect()
}

/// Which face is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Face {
    /// What B's decoder draws.
    Drawn,
    /// The toy: the mean of B's faces as the network sees them, always the same.
    Mean,
}

/// A's held-out clips with a face put in; nothing where A's was not found.
fn swap(pair: &Pair, face: Face) -> Result<Vec<Option<Rgb8>>, JobError> {
    let mean = match face {
        Face::Drawn => None,
        Face::Mean => Some(mean_face(pair)?),
    };
    let mut out = Vec::new();
    for held in &pair.stills {
        let mut there: Vec<(usize, Shot<'_>)> = Vec::new();
        for (i, played) in held.frames[0].iter().enumerate() {
            let (Some(landmarks), Some(placement)) = (&played.landmarks, played.placement(pair))
            else {
                continue;
            };
            there.push((i, shot(&played.filmed, landmarks, placement)?));
        }
        match &mean {
            None => {
                let inputs: Vec<Vec<f32>> = there.iter().map(|(_, s)| s.rgb.clone()).collect();
                for ((_, shot), (rgb, mask)) in there.iter_mut().zip(pair.draw(1, &inputs)) {
                    (shot.rgb, shot.mask) = (rgb, mask);
                }
            }
            Some(mean) => {
                for (_, shot) in &mut there {
                    shot.rgb.clone_from(mean);
                }
            }
        }
        let (places, shots): (Vec<usize>, Vec<Shot<'_>>) = there.into_iter().unzip();
        let made = composite(&shots, &Default::default(), Colours::Smoothed)?;
        let mut frames = vec![None; held.frames[0].len()];
        for (i, frame) in places.into_iter().zip(made) {
            frames[i] = Some(frame);
        }
        out.extend(frames);
    }
    Ok(out)
}

/// A shot with the filmed face itself and a full mask.
pub(crate) fn shot<'a>(
    frame: &'a Rgb8,
    landmarks: &'a FaceLandmarks,
    placement: stockpot_convert::Placement,
) -> Result<Shot<'a>, JobError> {
    Ok(Shot {
        frame,
        landmarks,
        placement,
        rgb: cut_rgb(frame, &placement)?,
        mask: vec![1.0; placement.mask_len()],
    })
}

fn mean_face(pair: &Pair) -> Result<Vec<f32>, JobError> {
    let (mut sum, mut n) = (Vec::new(), 0.0f32);
    for played in pair.stills.iter().flat_map(|held| &held.frames[1]) {
        let Some(placement) = played.placement(pair) else {
            continue;
        };
        let face = cut_rgb(&played.filmed, &placement)?;
        sum.resize(face.len(), 0.0f32);
        sum.iter_mut().zip(&face).for_each(|(s, v)| *s += v);
        n += 1.0;
    }
    if n == 0.0 {
        return Err(JobError::failed("B's face was found in no held-out frame"));
    }
    sum.iter_mut().for_each(|s| *s /= n);
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(identity: [f64; 2], yaw: f32) -> Option<Look> {
        let mut played = Played([0.0; Played::COUNT]);
        played.0[0] = yaw;
        let mut dlib = [0.0; 128];
        dlib[0] = identity[0] as f32;
        Some(Look {
            ours: Verdict {
                identity: identity.to_vec(),
                played,
            },
            dlib: Embedding(dlib),
        })
    }

    #[test]
    fn shares_errors_and_goals_follow_from_the_looks() {
        let b = [1.0, 0.0];
        let a = [0.0, 1.0];
        let results = Results {
            swap: vec![look(b, 0.1), look(a, 0.4), None, look(b, 0.2)],
            truth: vec![look(b, 0.1), look(b, 0.2), look(b, 0.0), look(b, 0.0)],
            copy: vec![look(a, 0.0), look(a, 0.0), look(a, 0.0), look(a, 0.0)],
            mean: vec![look(b, 0.0), look(b, 0.0), look(b, 0.0), look(b, 0.0)],
        };
        let moments = vec![Played([0.0; Played::COUNT]); 4];
        let gallery = Gallery {
            ours: vec![a.to_vec(), b.to_vec()],
            dlib: [a, b].map(|v| look(v, 0.0).unwrap().dlib).to_vec(),
        };
        let crowd = Crowd {
            people: 1,
            each: 1,
            side: 16,
        };
        let found = findings(&results, &moments, &gallery, crowd);
        // The mean never turns, as was played: it reaches the goal of all but the gaze nobody shows.
        let remark = found.note.split("reaches the goal of ").nth(1).unwrap();
        assert!(remark.starts_with(Played::NAMES[0]) && !remark.contains("gaze"));
        assert!(toy_remark(&[]).contains("fails every goal"));
        let found = found.measures;
        assert_eq!(found.len(), 2 + Played::COUNT);
        // Of four swaps two are B, one is A, and in one there is no face.
        assert_eq!((found[0].value, found[1].value), (50.0, 50.0));
        let toys: Vec<f64> = found[0].toys.iter().map(|t| t.value).collect();
        assert_eq!(toys, [100.0, 0.0, 100.0]);
        // The third moment cannot be compared: (0.1 + 0.4 + 0.2) / 3 against (0.1 + 0.2 + 0) / 3.
        let degrees = 180.0 / std::f64::consts::PI;
        assert!((found[2].value - 0.7 / 3.0 * degrees).abs() < 1e-5);
        assert!((found[2].toys[0].value - 0.1 * degrees).abs() < 1e-5);
        assert!((found[2].goal.unwrap() - 0.15 * degrees).abs() < 1e-5);
        // Lids that were played shut show no gaze: there is nothing to say.
        assert!(found[5].value.is_nan() && found[5].goal.is_none());
    }

    #[test]
    fn the_nearest_embedding_is_found() {
        let at = |v: f32| {
            let mut all = [0.0; 128];
            all[7] = v;
            Embedding(all)
        };
        assert_eq!(
            nearest_embedding(&[at(0.0), at(1.0), at(2.0)], &at(1.2)),
            Some(1)
        );
        assert_eq!(nearest_embedding(&[at(1.0), at(1.0)], &at(5.0)), Some(0));
        assert_eq!(nearest_embedding(&[], &at(0.0)), None);
    }
}
