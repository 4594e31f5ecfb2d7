//! `stockpot person`: from the parsed command to the job.

use std::process::ExitCode;

use stockpot_jobs as jobs;

use super::Session;
use crate::args::{PersonCommand, SharingName, TermsArgs};
use crate::environment;
use crate::failure::Failure;

pub(super) fn run(session: &Session<'_>, command: PersonCommand) -> Result<ExitCode, Failure> {
    match command {
        PersonCommand::Add {
            name,
            consent,
            terms,
        } => {
            let change = change(terms, None)?;
            let usual = jobs::person::Terms::default();
            let settings = jobs::person::Add {
                name,
                consent: consent.into(),
                entered_by: change.entered_by,
                note: change.note.unwrap_or_default(),
                terms: jobs::person::Terms {
                    agreed_by: change.agreed_by,
                    uses: change.uses.unwrap_or(usual.uses),
                    sharing: change.sharing,
                    projects: change.projects.unwrap_or_default(),
                    until_secs: change.until_secs.flatten(),
                },
            };
            session.job(|ctx| jobs::person::add(ctx, &settings))
        }
        PersonCommand::List => session.job(jobs::person::list),
        PersonCommand::Show { name } => session.job(|ctx| jobs::person::show(ctx, &name)),
        PersonCommand::Consent {
            name,
            consent,
            terms,
        } => {
            let change = change(terms, consent.map(Into::into))?;
            session.job(|ctx| jobs::consent::change(ctx, &name, &change))
        }
        PersonCommand::Withdraw {
            name,
            entered_by,
            note,
        } => {
            let entered_by = who_enters(entered_by)?;
            session.job(|ctx| jobs::consent::withdraw(ctx, &name, &entered_by, &note))
        }
        PersonCommand::Sharing {
            name,
            sharing,
            entered_by,
        } => {
            let sharing = match sharing {
                SharingName::Allowed => jobs::person::Sharing::Allowed,
                SharingName::Forbidden => jobs::person::Sharing::Forbidden,
            };
            let entered_by = who_enters(entered_by)?;
            session.job(|ctx| jobs::person::set_sharing(ctx, &name, sharing, &entered_by))
        }
        PersonCommand::Remove { name, erase: true } => {
            session.job(|ctx| jobs::person::erase(ctx, &name))
        }
        PersonCommand::Remove { name, erase: false } => {
            session.job(|ctx| jobs::person::remove(ctx, &name))
        }
    }
}

/// The word that takes the limit to projects away.
const ANYTHING: &str = "anything";

fn change(
    terms: TermsArgs,
    consent: Option<jobs::consent::ConsentFrom>,
) -> Result<jobs::consent::Change, Failure> {
    let anything = terms.projects.iter().any(|p| p == ANYTHING);
    if anything && terms.projects.len() > 1 {
        return Err(Failure::usage(format!(
            "A consent is for `{ANYTHING}` or for projects by name, not both"
        )));
    }
    Ok(jobs::consent::Change {
        consent,
        agreed_by: terms.agreed_by,
        sharing: terms.allow.as_ref().map(|allow| match allow.share {
            true => jobs::consent::Sharing::Allowed,
            false => jobs::consent::Sharing::Forbidden,
        }),
        uses: terms.allow.map(|allow| allow.uses),
        projects: match (anything, terms.projects.is_empty()) {
            (true, _) => Some(Vec::new()),
            (false, true) => None,
            (false, false) => Some(terms.projects),
        },
        until_secs: terms.until.map(|until| until.secs()),
        entered_by: who_enters(terms.entered_by)?,
        note: terms.note,
    })
}

fn who_enters(said: Option<String>) -> Result<String, Failure> {
    said.or_else(environment::login_name).ok_or_else(|| {
        Failure::usage("It is not known who enters this consent")
            .with_hint("say `--entered-by NAME`")
    })
}
