//! Which device makes the steps of a run: the CPU, or a card by `stockpot-device`.

use std::str::FromStr;

use stockpot_device::{Choice, found, open};
use stockpot_model::Network;
use stockpot_train::settings::Precision;
use stockpot_train::{Accelerator, TrainSettings};

use super::Settings;
use crate::context::Context;
use crate::error::JobError;

/// Where steps are to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Device {
    /// On a card, if this build can use one, one is here and it can make this training; else on the
    /// CPU.
    Auto,
    /// On the CPU.
    #[default]
    Cpu,
    /// On this device, or not at all.
    Card(Choice),
}

impl FromStr for Device {
    type Err = JobError;

    fn from_str(text: &str) -> Result<Self, JobError> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            other => Ok(Self::Card(other.parse()?)),
        }
    }
}

/// What a run is, as far as it decides about devices.
pub(super) struct Nature {
    /// Whether somebody in it is lite.
    pub(super) lite: bool,
    /// Whether it grows the encoder.
    pub(super) grows: bool,
}

/// The device for a run, opened; none for the CPU. The run's settings are changed to what it can do.
///
/// # Errors
/// If a device was asked for that is not here, or cannot make this training.
pub(super) fn choose(
    ctx: &Context,
    asked: &Settings,
    nature: &Nature,
    network: &Network,
    train: &mut TrainSettings,
) -> Result<Option<Box<dyn Accelerator>>, JobError> {
    let choice = match asked.device {
        Device::Cpu => return Ok(None),
        Device::Card(choice) => choice,
        Device::Auto => match found().into_iter().find(|f| f.is_card) {
            Some(card) => card.choice,
            None => return Ok(None),
        },
    };
    if let Some(what) = obstacle(asked, nature) {
        let why = format!("this training {what}, which {choice} cannot do");
        return match asked.device {
            Device::Auto => {
                ctx.info(format!("Trains on the CPU: {why}"));
                Ok(None)
            }
            _ => Err(
                JobError::usage(format!("It cannot be trained like that: {why}"))
                    .with_hint("use `--device cpu`, or leave out what stands in the way"),
            ),
        };
    }
    let device = open(&choice, network)?;
    ctx.info(format!("Trains on {}", device.name()));
    train.precision = Precision::F32;
    Ok(Some(device))
}

/// What devices cannot do, if the training is of that kind.
fn obstacle(asked: &Settings, nature: &Nature) -> Option<&'static str> {
    // `auto` means bf16 on some processors; only who asks for it by name is told no.
    let by_name = asked.more.get("precision").is_some_and(|v| v == "bf16");
    let bf16 = by_name || asked.precision == Some(Precision::Bf16);
    let reasons = [
        (nature.lite, "has lite persons"),
        (nature.grows, "holds the encoder near its previous state"),
        (bf16, "is to be in bf16"),
        (asked.batch_auto, "is to find its own batch size"),
    ];
    let found = reasons.into_iter().find(|(holds, _)| *holds);
    found.map(|(_, what)| what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_for_devices() {
        assert_eq!("auto".parse::<Device>().unwrap(), Device::Auto);
        assert_eq!("cpu".parse::<Device>().unwrap(), Device::Cpu);
        let card: Device = "vulkan:1".parse().unwrap();
        assert!(matches!(card, Device::Card(choice) if choice.number == 1));
        let error = "gpu".parse::<Device>().unwrap_err();
        assert_eq!(error.kind, crate::error::JobErrorKind::Usage);
        assert!(error.hint.unwrap().contains("doctor"));
    }

    #[test]
    fn what_a_card_cannot_do_is_named() {
        let plain = Nature {
            lite: false,
            grows: false,
        };
        let asked = Settings::default();
        assert_eq!(obstacle(&asked, &plain), None);
        let lite = Nature {
            lite: true,
            ..plain
        };
        assert_eq!(obstacle(&asked, &lite), Some("has lite persons"));
        let bf16 = Settings {
            precision: Some(Precision::Bf16),
            ..Settings::default()
        };
        assert_eq!(obstacle(&bf16, &plain), Some("is to be in bf16"));
    }
}
