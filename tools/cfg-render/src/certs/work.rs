//! What is to be made: decided and made in memory first, so that either everything happens or nothing.

use std::collections::BTreeSet;

use cli::{Failure, Secret};
use contract::{Duration, Finding};

use super::{
    Authority, CertsError, Instant, Judgement, KeyRequest, PublicFiles, Seen, Wanted, WantedAuthority, judge_authority,
    judge_leaf,
};
use crate::fleet::Certificates;
use crate::model::Model;

/// The CA's certificate has to be installed by people, so that they are told a year ahead.
const AUTHORITY_WARN: Duration = Duration::from_secs(365 * 86_400);

/// Certificates and keys that were made and not yet handed over.
#[derive(Default)]
pub struct Work {
    /// Keys for the pipe.
    pub keys: Vec<KeyRequest>,
    /// Certificates by file.
    pub files: Vec<(String, String)>,
    /// What was done, a line each, for a person.
    pub remarks: Vec<String>,
    /// What a person has to do now.
    pub warnings: Vec<String>,
}

/// The certificates of a fleet at a moment.
pub struct Certs<'a> {
    settings: &'a Certificates,
    /// The CA that the fleet needs.
    pub authority: WantedAuthority,
    /// The leaves that it needs.
    pub leaves: Vec<Wanted>,
    files: &'a PublicFiles,
    now: Instant,
}

impl<'a> Certs<'a> {
    /// The certificates of a fleet, whose files lie here, at this moment.
    pub fn new(model: &Model<'a>, files: &'a PublicFiles, now: Instant) -> Self {
        Self {
            settings: &model.fleet.certificates,
            authority: WantedAuthority::of(model),
            leaves: Wanted::of(model),
            files,
            now,
        }
    }

    /// Makes the CA, or a new certificate for its key where that is due. `key` gives the key that is there, `replace` the
    /// consent to start over.
    ///
    /// # Errors
    /// 76 where a key is there that cannot be had, 78 where it is no key; those of the files.
    pub fn make_authority(&self, key: &dyn Fn() -> Result<Secret, Failure>, replace: bool) -> Result<Work, Failure> {
        let wanted = &self.authority;
        let seen = self.files.see(&wanted.certificate)?;
        let key_is_there = self.files.exists(&wanted.key_file)?;
        let mut work = Work::default();
        if replace || (seen.is_none() && !key_is_there) {
            self.new_authority(&mut work)?;
            return Ok(work);
        }
        let judgement = judge_authority(wanted, seen.as_ref(), AUTHORITY_WARN, self.now);
        if !judgement.is_due() {
            work.remarks.push(format!("the CA's certificate {} {judgement}; nothing to do", wanted.certificate));
            return Ok(work);
        }
        let key = key().map_err(|failure| match seen {
            Some(_) => failure,
            None => CertsError::KeyWithoutCertificate {
                key_file: wanted.key_file.clone(),
                certificate: wanted.certificate.clone(),
            }
            .into(),
        })?;
        let authority = Authority::reissue(wanted, self.now, &key)?;
        work.warnings.push(format!(
            "{}: new certificate for the same key, because the one before {judgement}; install it where the old one is trusted",
            wanted.certificate
        ));
        work.files.push((wanted.certificate.clone(), authority.certificate().to_owned()));
        Ok(work)
    }

    fn new_authority(&self, work: &mut Work) -> Result<Authority, Failure> {
        let wanted = &self.authority;
        if wanted.domains.is_empty() {
            return Err(CertsError::NoDomains.into());
        }
        let authority = Authority::generate(wanted, self.now)?;
        KeyRequest::add(&mut work.keys, &wanted.key_file, &wanted.key_pointer, authority.private_key());
        work.files.push((wanted.certificate.clone(), authority.certificate().to_owned()));
        work.warnings.push(format!(
            "{}: new CA \"{}\" for {}, good until {}; install it where its names are to be trusted",
            wanted.certificate,
            wanted.name,
            wanted.domains.join(", "),
            authority.seen().not_after
        ));
        Ok(authority)
    }

    /// Makes every leaf that is due, or all. Where there is no CA at all, it is made too.
    ///
    /// # Errors
    /// 65 where the CA must not certify a name, 78 where its key is not there; those of the files.
    pub fn renew(&self, key: &dyn Fn() -> Result<Secret, Failure>, all: bool) -> Result<Work, Failure> {
        let mut work = Work::default();
        let certificate = self.files.read(&self.authority.certificate)?;
        let ca = certificate.as_deref().map(|text| Seen::parse(text, &self.authority.certificate)).transpose()?;
        let mut due = Vec::new();
        for wanted in &self.leaves {
            let seen = self.see_leaf(wanted);
            let judgement = judge_leaf(wanted, seen.as_ref(), ca.as_ref(), self.settings.warn, self.now);
            if all || ca.is_none() || judgement.is_due() {
                due.push((wanted, judgement));
            }
        }
        if due.is_empty() {
            work.remarks.push(match self.leaves.len() {
                0 => "no name of the fleet needs a certificate of the internal CA".into(),
                1 => "the certificate is good; nothing to do".into(),
                count => format!("all {count} certificates are good; nothing to do"),
            });
            return Ok(work);
        }
        let authority = match &certificate {
            Some(text) => Authority::load(text, &self.authority.certificate, &key()?)?,
            None if self.files.exists(&self.authority.key_file)? => {
                return Err(CertsError::KeyWithoutCertificate {
                    key_file: self.authority.key_file.clone(),
                    certificate: self.authority.certificate.clone(),
                }
                .into());
            }
            None => self.new_authority(&mut work)?,
        };
        let mut failures = Vec::new();
        for (wanted, judgement) in due {
            match authority.issue(wanted, self.settings.leaf, self.now) {
                Ok((pem, key)) => {
                    let why = if judgement.is_due() { judgement.to_string() } else { "was asked for".into() };
                    work.remarks.push(format!(
                        "{}: made for {}, because it {why}",
                        wanted.chain,
                        wanted.names.join(", ")
                    ));
                    KeyRequest::add(&mut work.keys, &wanted.key_file, &wanted.key_pointer, key);
                    work.files.push((wanted.chain.clone(), pem));
                }
                Err(error) => failures.push(Failure::from(error)),
            }
        }
        Failure::join(failures).map_or(Ok(work), Err)
    }

    /// A chain that cannot be read as one is as good as none: it can be made again at any time.
    fn see_leaf(&self, wanted: &Wanted) -> Option<Seen> {
        self.files.see(&wanted.chain).ok().flatten()
    }

    /// What is to be said about the certificates: an error where a host would show a bad one, a warning where one is about
    /// to be, a note where `renew` would make one.
    ///
    /// # Errors
    /// 65 and 66 where the CA's certificate cannot be read.
    pub fn findings(&self) -> Result<Vec<Finding>, Failure> {
        if self.leaves.is_empty() {
            return Ok(Vec::new());
        }
        let place = contract::Pointer::root().join("certificates");
        let mut findings = Vec::new();
        let ca = self.files.see(&self.authority.certificate)?;
        let judgement = judge_authority(&self.authority, ca.as_ref(), AUTHORITY_WARN, self.now);
        let what = format!("the CA's certificate {judgement}");
        findings.extend(
            finding("ca", &judgement, place, what, "run `cfg-render certs ca`")
                .map(|f| f.in_file(&self.authority.certificate)),
        );
        let mut seen_files = BTreeSet::new();
        for wanted in &self.leaves {
            let seen = self.see_leaf(wanted);
            let judgement = judge_leaf(wanted, seen.as_ref(), ca.as_ref(), self.settings.warn, self.now);
            let what = format!("the certificate of {} on host \"{}\" {judgement}", wanted.name(), wanted.host);
            let found = finding("certificate", &judgement, wanted.place.clone(), what, "run `cfg-render certs renew`");
            findings.extend(found.map(|f| f.in_file(&wanted.chain)));
            if !seen_files.insert(&wanted.chain) {
                let message =
                    format!("two sites of host \"{}\" would have their certificate in {}", wanted.host, wanted.chain);
                findings.push(
                    Finding::error("certificate-clash", wanted.place.clone(), message)
                        .fix("give one of them another first name"),
                );
            }
        }
        Ok(findings)
    }
}

fn finding(prefix: &str, judgement: &Judgement, place: contract::Pointer, what: String, fix: &str) -> Option<Finding> {
    let code = |word: &str| format!("{prefix}-{word}");
    let finding = match judgement {
        Judgement::Good(_) => return None,
        Judgement::Missing => Finding::error(&code("missing"), place, what),
        Judgement::OtherNames => Finding::error(&code("names"), place, what),
        Judgement::OtherAuthority => Finding::error(&code("issuer"), place, what),
        Judgement::Expired(_) => Finding::error(&code("expired"), place, what),
        Judgement::Expires(_) => Finding::warning(&code("expires"), place, what),
        Judgement::Due(_) => Finding::note(&code("due"), place, what),
    };
    Some(finding.fix(fix))
}
