//! The certificate of `tombolo dev --tls`: made once, kept in the data folder, trusted by nobody until somebody says so.
//!
//! A root is made, signs one certificate for this machine's own names and those that it is told, and its key is thrown away: who trusts the root trusts
//! that one certificate, and nobody can make another.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::tls::{TlsError, TlsFiles};

/// How long a certificate is good for: Apple's systems refuse more than 398 days.
const DAYS: i64 = 390;

/// One that is good for less is made anew at the start.
const DAYS_LEFT_MIN: i64 = 14;

/// What there is.
#[derive(Debug)]
pub struct OwnCertificate {
    /// For the server.
    pub files: TlsFiles,
    /// The root that clients are told to trust.
    pub root: PathBuf,
    /// The last day on which it is good.
    pub until: Date,
    /// What it is for: names and addresses.
    pub names: Vec<String>,
}

/// What this machine is called by itself, and by the Android emulator on it.
const OWN_NAMES: [&str; 4] = ["localhost", "127.0.0.1", "::1", "10.0.2.2"];

/// The certificate in `folder` for this machine's own names and `hosts`, made if there is none, if it is for others, or if it
/// ends soon.
///
/// # Errors
/// It cannot be made, or the folder cannot be written.
pub fn open(folder: &Path, hosts: &[String], now: Timestamp) -> Result<OwnCertificate, TlsError> {
    let own = OWN_NAMES.map(str::to_owned);
    let names: Vec<String> = own.iter().chain(hosts).cloned().collect();
    let today = now.to_zoned(TimeZone::UTC).date();
    let kept = folder.join("kept");
    let files = TlsFiles {
        cert: folder.join("cert.pem"),
        key: folder.join("key.pem"),
    };
    let root = folder.join("root.pem");
    // Its last day, then its names.
    let text = std::fs::read_to_string(&kept).unwrap_or_default();
    let until = text.split_whitespace().next().and_then(|day| day.parse::<Date>().ok());
    if let Some(until) = until
        && text.split_whitespace().skip(1).eq(&names)
        && today.checked_add(DAYS_LEFT_MIN.days()).is_ok_and(|soon| soon < until)
        && [&files.cert, &files.key, &root].iter().all(|file| file.exists())
    {
        return Ok(OwnCertificate {
            files,
            root,
            until,
            names,
        });
    }
    let until = today.checked_add(DAYS.days()).map_err(failed)?;
    let made = make(&names, today, until).map_err(failed)?;
    std::fs::create_dir_all(folder).map_err(failed)?;
    // The date last: a folder that was not written to its end is written anew.
    secret(&files.key, &made.key).map_err(failed)?;
    std::fs::write(&files.cert, made.cert).map_err(failed)?;
    std::fs::write(&root, made.root).map_err(failed)?;
    std::fs::write(&kept, format!("{until} {}", names.join(" "))).map_err(failed)?;
    Ok(OwnCertificate {
        files,
        root,
        until,
        names,
    })
}

fn failed(error: impl std::fmt::Display) -> TlsError {
    TlsError::Make(error.to_string())
}

/// All in PEM.
struct Made {
    cert: String,
    key: String,
    root: String,
}

fn make(names: &[String], from: Date, until: Date) -> Result<Made, rcgen::Error> {
    let day = |date: Date| {
        let (month, day) = (date.month().unsigned_abs(), date.day().unsigned_abs());
        date_time_ymd(date.year().into(), month, day)
    };
    // A day earlier: clocks of phones and emulators are not this one.
    let (begin, end) = (day(from.yesterday().unwrap_or(from)), day(until));
    let mut root = CertificateParams::default();
    root.distinguished_name
        .push(DnType::CommonName, format!("Tombolo dev, this machine alone, {from}"));
    root.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    root.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    (root.not_before, root.not_after) = (begin, end);
    let root = CertifiedIssuer::self_signed(root, KeyPair::generate()?)?;

    // Those that are addresses are put in as such.
    let mut leaf = CertificateParams::new(names)?;
    leaf.distinguished_name.push(DnType::CommonName, "localhost");
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    (leaf.not_before, leaf.not_after) = (begin, end);
    let key = KeyPair::generate()?;
    let leaf = leaf.signed_by(&key, &root)?;
    Ok(Made {
        cert: format!("{}{}", leaf.pem(), root.pem()),
        key: key.serialize_pem(),
        root: root.pem(),
    })
}

/// Writes a file that its owner alone may read.
fn secret(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)?.write_all(text.as_bytes())
}

/// How to trust it, as lines that work when pasted; nothing is installed by itself.
#[must_use]
pub fn how_to_trust(certificate: &OwnCertificate, quoted_root: &str) -> String {
    format!(
        "Certificate  {root}  (for {names}; good until {until}; --tls-host NAME adds a name)\n\
         Nothing trusts it yet. Its root's key was thrown away, so that nobody can sign anything else with it. To trust it:\n\
         \x20 curl      curl --cacert {quoted_root} …\n\
         \x20 tombolo   TOMBOLO_CA={quoted_root}, or --ca {quoted_root}\n\
         \x20 Node      NODE_EXTRA_CA_CERTS={quoted_root} node …\n\
         \x20 macOS     security add-trusted-cert -k ~/Library/Keychains/login.keychain-db {quoted_root}\n\
         \x20 Debian    sudo cp {quoted_root} /usr/local/share/ca-certificates/tombolo-dev.crt && sudo update-ca-certificates\n\
         \x20 Chrome on Linux   certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n tombolo-dev -i {quoted_root}\n\
         \x20 iOS simulator     xcrun simctl keychain booted add-root-cert {quoted_root}\n\
         \x20 Android emulator  adb push {quoted_root} /sdcard/, then Settings, Security, Install a certificate. To it this machine is\n\
         \x20                   10.0.2.2, and Amplify's Android client dials port 443 whatever the URL says: --listen 127.0.0.1:443\n",
        root = certificate.root.display(),
        names = certificate.names.join(", "),
        until = certificate.until,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::Certificate;

    #[test]
    fn it_is_made_once_kept_and_made_anew_before_it_ends() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("tls");
        let now: Timestamp = "2026-11-29T12:00:00Z".parse().unwrap();
        let days = |n: i64| now + (n * 24).hours();
        let first = open(&folder, &[], now).unwrap();
        assert_eq!(first.until.to_string(), "2027-12-24");
        Certificate::open(first.files.clone()).unwrap();
        let key = std::fs::read(&first.files.key).unwrap();
        assert_eq!(open(&folder, &[], days(300)).unwrap().until, first.until);
        assert_eq!(std::fs::read(&first.files.key).unwrap(), key);
        assert!(open(&folder, &[], days(380)).unwrap().until > first.until);
        assert_ne!(std::fs::read(&first.files.key).unwrap(), key);
        // One that lost a file is made anew, too.
        std::fs::remove_file(&first.root).unwrap();
        assert!(open(&folder, &[], days(380)).unwrap().root.exists());
        // And for a further name.
        let key = std::fs::read(&first.files.key).unwrap();
        let named = open(&folder, &["tower.local".to_owned()], days(380)).unwrap();
        assert_eq!(named.names.last().unwrap(), "tower.local");
        Certificate::open(named.files.clone()).unwrap();
        assert_ne!(std::fs::read(&first.files.key).unwrap(), key);
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(&first.files.key).unwrap());
            assert_eq!(mode & 0o077, 0, "{mode:o}");
        }
    }
}
