//! Credentials as users meet them: sealed files, and files that somebody has been at.

mod damage;
mod formats;
mod identities;
mod tools;
