//! The shell scripts of operations. They hold fixed words and tests; what a client sent is only ever compared and handed on
//! as one argument.

use super::Layout;
use crate::fleet::Operation;

/// Longest value of a parameter.
pub(super) const LONGEST: usize = 200;

/// The script that sshd forces on a user: the first word names an operation, the others are its arguments.
pub(super) fn dispatcher<'n>(layout: Layout, user: &str, names: impl Iterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.collect();
    let Layout { folder, path, .. } = layout;
    format!(
        "# The first word names an operation, the others are its arguments: split at white space, read by no shell.\n\
         set -fu\n\
         export PATH={path}\n\
         if [ -n \"${{SSH_ORIGINAL_COMMAND+x}}\" ]; then\n\
         \x20   # shellcheck disable=SC2086 # words, without globs\n\
         \x20   set -- $SSH_ORIGINAL_COMMAND\n\
         fi\n\
         case ${{1-}} in\n\
         \x20   \"\" | list)\n\
         \x20       exec cat {folder}/tools-{user}.json\n\
         \x20       ;;\n\
         \x20   {})\n\
         \x20       operation=$1\n\
         \x20       shift\n\
         \x20       exec sudo -n -- \"{folder}/$operation\" \"$@\"\n\
         \x20       ;;\n\
         esac\n\
         echo \"refused: no such operation (say: list)\" >&2\n\
         exit 2\n",
        names.join(" | ")
    )
}

/// The script of an operation, run as root.
pub(super) fn write(name: &str, spec: &Operation, units: &[String], layout: Layout) -> Result<String, String> {
    let seconds = spec.timeout_seconds.unwrap_or(60);
    let Layout { bin, path, .. } = layout;
    let mut text = format!("set -fu\nexport LC_ALL=C PATH={path}\n");
    let count = spec.parameters.len();
    text.push_str(&format!(
        "if [ $# -ne {count} ]; then\n    echo \"refused: {name} takes {count} argument(s)\" >&2\n    exit 2\nfi\n"
    ));
    for (index, parameter) in spec.parameters.iter().enumerate() {
        if parameter.pattern.is_none() && parameter.values.is_empty() {
            return Err(format!("parameter \"{}\" has neither a pattern nor values", parameter.name));
        }
        text.push_str(&checks(index + 1, &parameter.name, parameter.pattern.as_deref(), &parameter.values, bin)?);
    }
    // Words before each unit, after those of the program.
    let on_units = |program: &str, verb: &[&str], before: &[&str]| -> Result<Vec<String>, String> {
        if units.is_empty() {
            return Err("the service has no unit".into());
        }
        let each = units.iter().flat_map(|unit| before.iter().map(|word| quote(word)).chain([quote(unit)]));
        Ok([format!("{bin}/{program}")].into_iter().chain(verb.iter().map(|word| quote(word))).chain(each).collect())
    };
    let words = match (&spec.restart, &spec.status, &spec.logs, spec.command.as_slice()) {
        (Some(_), None, None, []) => on_units("systemctl", &["restart", "--"], &[])?,
        (None, Some(_), None, []) => on_units("systemctl", &["status", "--no-pager", "--lines=20", "--"], &[])?,
        (None, None, Some(_), []) => on_units("journalctl", &["--no-pager", "--lines=200"], &["--unit"])?,
        (None, None, None, [program, ..]) => {
            if !program.starts_with('/') {
                return Err("a command begins with the absolute path of its program".into());
            }
            let mut words: Vec<String> = sandbox(name, spec, seconds, bin).iter().map(|word| quote(word)).collect();
            for word in &spec.command {
                words.push(filled(word, spec)?);
            }
            words
        }
        _ => return Err("exactly one of restart, status, logs and command is given".into()),
    };
    let guard = if spec.command.is_empty() { format!("{bin}/timeout {seconds} ") } else { String::new() };
    text.push_str(&format!("exec {guard}{}\n", words.join(" ")));
    Ok(text)
}

/// What an argument must pass before anything is done with it.
fn checks(place: usize, name: &str, pattern: Option<&str>, values: &[String], bin: &str) -> Result<String, String> {
    let refuse = format!("echo \"refused: argument {place} is no {}\" >&2\n        exit 2", plain(name)?);
    let mut text = format!(
        "case ${place} in\n    \"\" | -* | *'$'* | *[![:print:]]*)\n        {refuse}\n        ;;\nesac\n\
         if [ \"${{#{place}}}\" -gt {LONGEST} ]; then\n        {refuse}\nfi\n"
    );
    if !values.is_empty() {
        let values: Vec<_> = values.iter().map(|value| quote(value)).collect();
        text.push_str(&format!(
            "case ${place} in\n    {}) ;;\n    *)\n        {refuse}\n        ;;\nesac\n",
            values.join(" | ")
        ));
    }
    if let Some(pattern) = pattern {
        if pattern.chars().any(char::is_control) {
            return Err("a pattern is one line".into());
        }
        text.push_str(&format!(
            "if ! printf '%s\\n' \"${place}\" | {bin}/grep -Eqx -e {}; then\n        {refuse}\nfi\n",
            quote(pattern)
        ));
    }
    Ok(text)
}

/// A word of the command, in which `{name}` stands for a parameter.
fn filled(word: &str, spec: &Operation) -> Result<String, String> {
    let mut out = String::new();
    let mut rest = word;
    while let Some(start) = rest.find('{') {
        let Some(end) = rest[start..].find('}').map(|end| start + end) else { break };
        let name = &rest[start + 1..end];
        let Some(place) = spec.parameters.iter().position(|parameter| parameter.name == name) else {
            return Err(format!("the command names a parameter \"{name}\" that is not declared"));
        };
        if start > 0 {
            out.push_str(&literal(&rest[..start]));
        }
        out.push_str(&format!("\"${}\"", place + 1));
        rest = &rest[end + 1..];
    }
    if !rest.is_empty() || out.is_empty() {
        out.push_str(&literal(rest));
    }
    Ok(out)
}

/// A part of a word of the fleet, which systemd would otherwise search for variables.
fn literal(text: &str) -> String {
    quote(&text.replace('$', "$$"))
}

/// A unit of its own for the time of the command: as the user named, with a limit of time, and nothing to write.
fn sandbox(name: &str, spec: &Operation, seconds: u32, bin: &str) -> Vec<String> {
    let mut words = vec![format!("{bin}/systemd-run")];
    words.extend(["--quiet", "--wait", "--pipe", "--collect"].map(str::to_owned));
    words.push(format!("--description=Operation {name}"));
    words.push(format!("--property=RuntimeMaxSec={seconds}"));
    if let Some(user) = &spec.run_as {
        words.push(format!("--uid={user}"));
    }
    if spec.sandbox {
        for property in [
            "NoNewPrivileges=yes",
            "ProtectSystem=strict",
            "ProtectHome=yes",
            "PrivateTmp=yes",
            "PrivateDevices=yes",
            "ProtectKernelTunables=yes",
            "ProtectKernelModules=yes",
            "ProtectControlGroups=yes",
            "RestrictSUIDSGID=yes",
        ] {
            words.push(format!("--property={property}"));
        }
    }
    words.push("--".into());
    words
}

/// A word of a shell script that stands for itself.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,@+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

/// A name for a message.
fn plain(name: &str) -> Result<&str, String> {
    let good = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if good { Ok(name) } else { Err("a parameter's name has letters, digits, dashes only".into()) }
}
