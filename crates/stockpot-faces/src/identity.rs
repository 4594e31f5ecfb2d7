//! Which tracks show the wanted person.
//!
//! Pure functions on embeddings: [`pick_frames`] says which frames of a track are worth
//! embedding, [`by_reference`] and [`largest`] choose tracks and say why.

use crate::embed::{Embedding, SAME_PERSON};
use crate::track::TrackId;

/// The usual number of frames of a track to embed.
pub const FRAMES_PER_TRACK: usize = 5;

/// What is known of one track's identity.
#[derive(Debug, Clone, PartialEq)]
pub struct TrackIdentity {
    /// Which track.
    pub track: TrackId,
    /// How many frames it has: its weight.
    pub frames: usize,
    /// Embeddings of a few of them.
    pub embeddings: Vec<Embedding>,
}

/// Why a track was kept or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Close enough to the wanted person.
    SamePerson,
    /// Too far from the wanted person.
    OtherPerson,
    /// Not one embedding: no frame of the track was good enough.
    NothingToCompare,
}

/// The decision on one track.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Which track.
    pub track: TrackId,
    /// How many frames it has.
    pub frames: usize,
    /// Mean distance to the wanted person; `None` if there was nothing to compare.
    pub distance: Option<f32>,
    /// The decision.
    pub reason: Reason,
}

/// All decisions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Selection {
    /// Tracks of the wanted person, in the order given.
    pub kept: Vec<Verdict>,
    /// All others.
    pub rejected: Vec<Verdict>,
}

/// Frames of a track to embed: the track is cut into `count` stretches of one length, and the
/// sharpest frame of each is taken, so that different moments speak. Numbers rise.
pub fn pick_frames(sharpness: &[f32], count: usize) -> Vec<usize> {
    let count = count.min(sharpness.len());
    (0..count)
        .filter_map(|part| {
            let stretch = part * sharpness.len() / count..(part + 1) * sharpness.len() / count;
            stretch.max_by(|a, b| sharpness[*a].total_cmp(&sharpness[*b]))
        })
        .collect()
}

/// Tracks whose mean distance to the nearest reference is at most `max_distance`
/// ([`SAME_PERSON`] is usual).
pub fn by_reference(
    references: &[Embedding],
    tracks: &[TrackIdentity],
    max_distance: f32,
) -> Selection {
    decide(tracks, max_distance, |track| {
        let nearest = references
            .iter()
            .filter_map(|r| mean_distance(std::slice::from_ref(r), &track.embeddings));
        nearest.min_by(f32::total_cmp)
    })
}

/// Tracks of the person with the most frames.
///
/// Tracks are joined into persons from the closest pair on, as long as the mean distance between
/// two groups is below `max_distance` ([`SAME_PERSON`] is usual). Of two persons with as many
/// frames the one with the earlier track wins.
pub fn largest(tracks: &[TrackIdentity], max_distance: f32) -> Selection {
    let groups = cluster(tracks, max_distance);
    let frames = |group: &Vec<usize>| group.iter().map(|t| tracks[*t].frames).sum::<usize>();
    let Some(best) = groups.iter().rev().max_by_key(|g| frames(g)) else {
        return decide(tracks, max_distance, |_| None);
    };
    let person: Vec<Embedding> = best
        .iter()
        .flat_map(|t| tracks[*t].embeddings.iter().copied())
        .collect();
    let members: Vec<TrackId> = best.iter().map(|t| tracks[*t].track).collect();
    let mut selection = Selection::default();
    for track in tracks {
        let distance = mean_distance(&person, &track.embeddings);
        let is_kept = members.contains(&track.track);
        selection.push(track, distance, is_kept);
    }
    selection
}

impl Selection {
    fn push(&mut self, track: &TrackIdentity, distance: Option<f32>, is_kept: bool) {
        let reason = match distance {
            None => Reason::NothingToCompare,
            Some(_) if is_kept => Reason::SamePerson,
            Some(_) => Reason::OtherPerson,
        };
        let list = if reason == Reason::SamePerson {
            &mut self.kept
        } else {
            &mut self.rejected
        };
        list.push(Verdict {
            track: track.track,
            frames: track.frames,
            distance,
            reason,
        });
    }
}

fn decide(
    tracks: &[TrackIdentity],
    max_distance: f32,
    distance: impl Fn(&TrackIdentity) -> Option<f32>,
) -> Selection {
    let mut selection = Selection::default();
    for track in tracks {
        let distance = distance(track);
        let is_kept = distance.is_some_and(|d| d <= max_distance);
        selection.push(track, distance, is_kept);
    }
    selection
}

/// Mean over all pairs; `None` if there is no pair.
fn mean_distance(a: &[Embedding], b: &[Embedding]) -> Option<f32> {
    let pairs = a.len() * b.len();
    if pairs == 0 {
        return None;
    }
    let sum: f32 = a.iter().flat_map(|x| b.iter().map(|y| x.distance(y))).sum();
    Some(sum / pairs as f32)
}

/// Groups of track numbers, by average linkage; tracks without embeddings are in none.
fn cluster(tracks: &[TrackIdentity], max_distance: f32) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = (0..tracks.len())
        .filter(|t| !tracks[*t].embeddings.is_empty())
        .map(|t| vec![t])
        .collect();
    // Sum of distances and number of pairs between groups, kept while they are joined.
    let mut between: Vec<Vec<(f32, usize)>> = groups
        .iter()
        .map(|a| {
            let of = |b: &Vec<usize>| {
                let (x, y) = (&tracks[a[0]].embeddings, &tracks[b[0]].embeddings);
                let pairs = x.len() * y.len();
                (mean_distance(x, y).unwrap_or(0.0) * pairs as f32, pairs)
            };
            groups.iter().map(of).collect()
        })
        .collect();
    loop {
        let mut best = (max_distance, None);
        for (a, row) in between.iter().enumerate() {
            for (b, (sum, pairs)) in row.iter().enumerate().skip(a + 1) {
                let distance = sum / *pairs as f32;
                if distance < best.0 {
                    best = (distance, Some((a, b)));
                }
            }
        }
        let Some((a, b)) = best.1 else {
            return groups;
        };
        let joined = groups.remove(b);
        groups[a].extend(joined);
        groups[a].sort_unstable();
        let row = between.remove(b);
        for (k, other) in between.iter_mut().enumerate() {
            other.remove(b);
            let from = if k < b { row[k] } else { row[k + 1] };
            other[a].0 += from.0;
            other[a].1 += from.1;
        }
        // The row of the joined group is the mirror of its column.
        let column: Vec<_> = between.iter().map(|other| other[a]).collect();
        between[a] = column;
    }
}

/// [`largest`] with the usual distance.
pub fn largest_person(tracks: &[TrackIdentity]) -> Selection {
    largest(tracks, SAME_PERSON)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An embedding on a line: the distance of two is the difference of their places.
    fn at(place: f32) -> Embedding {
        let mut e = Embedding([0.0; 128]);
        e.0[5] = place;
        e
    }

    fn track(id: u32, frames: usize, places: &[f32]) -> TrackIdentity {
        TrackIdentity {
            track: TrackId(id),
            frames,
            embeddings: places.iter().map(|p| at(*p)).collect(),
        }
    }

    fn ids(list: &[Verdict]) -> Vec<u32> {
        list.iter().map(|v| v.track.0).collect()
    }

    #[test]
    fn frames_are_sharp_and_spread() {
        let sharpness = [1.0, 5.0, 2.0, 0.0, 9.0, 8.0, 1.0, 1.0, 3.0];
        assert_eq!(pick_frames(&sharpness, 3), [1, 4, 8]);
        assert_eq!(pick_frames(&sharpness[..2], 5), [0, 1]);
        assert!(pick_frames(&[], 5).is_empty());
    }

    #[test]
    fn the_person_with_most_frames_wins() {
        let tracks = [
            track(1, 40, &[0.0, 0.1]),
            track(2, 100, &[2.0, 2.1]),
            track(3, 70, &[0.3]),
            track(4, 500, &[]),
            track(5, 10, &[0.5, 0.4]),
        ];
        let selection = largest_person(&tracks);
        assert_eq!(ids(&selection.kept), [1, 3, 5]);
        assert_eq!(ids(&selection.rejected), [2, 4]);
        assert_eq!(selection.rejected[0].reason, Reason::OtherPerson);
        assert_eq!(selection.rejected[1].reason, Reason::NothingToCompare);
        // Person at 0, .1, .3, .5, .4 (mean .26), track at 2.05.
        assert!((selection.rejected[0].distance.unwrap() - 1.79).abs() < 1e-5);
        assert_eq!(largest_person(&[]), Selection::default());
    }

    #[test]
    fn chains_do_not_join_strangers() {
        // Neighbours are 0.5 apart; joined all together the ends would be 2.0 apart.
        let tracks: Vec<_> = (0..5).map(|i| track(i, 10, &[0.5 * i as f32])).collect();
        let selection = largest_person(&tracks);
        assert_eq!(selection.kept.len(), 2);
    }

    #[test]
    fn references_choose_by_the_nearest() {
        let tracks = [
            track(1, 10, &[0.0]),
            track(2, 10, &[1.0]),
            track(3, 10, &[3.0]),
        ];
        let selection = by_reference(&[at(-0.5), at(3.2)], &tracks, SAME_PERSON);
        assert_eq!(ids(&selection.kept), [1, 3]);
        assert_eq!(selection.rejected[0].distance, Some(1.5));
        let none = by_reference(&[], &tracks, SAME_PERSON);
        assert!(none.kept.is_empty());
    }
}
