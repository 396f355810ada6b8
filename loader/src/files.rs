//! The files that an input names.

use crate::spec::STDIN;
use crate::{Error, Fault, Spec};
use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The files of `spec` in reading order: patterns expanded, each by name.
///
/// # Errors
/// A pattern that matches nothing, a file named twice, a folder that can't be listed.
pub(crate) fn resolve(spec: &Spec) -> Result<Vec<PathBuf>, Error> {
    if spec.paths.is_empty() {
        return Err(Error::new(Path::new("[input] path"), Fault::NoPath));
    }
    if spec.is_stdin() {
        return Ok(spec.paths.clone());
    }
    let mut files = Vec::new();
    let mut seen = HashSet::new();
    for path in &spec.paths {
        if path.as_os_str() == STDIN {
            return Err(Error::new(path, Fault::StdinAmongFiles));
        }
        for file in expand(path)? {
            let real = file.canonicalize().map_err(|cause| Error::new(&file, cause))?;
            if !seen.insert(real) {
                return Err(Error::new(&file, Fault::Twice));
            }
            files.push(file);
        }
    }
    Ok(files)
}

/// Opens `path`, which must be a regular file.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    let fail = |cause: std::io::Error| Error::new(path, cause);
    // Asked before it is opened: opening a pipe waits for its writer.
    let kind = std::fs::metadata(path).map_err(fail)?;
    if kind.is_dir() {
        return Err(Error::new(path, Fault::Directory));
    }
    if !kind.is_file() {
        return Err(Error::new(path, Fault::NotAFile));
    }
    File::open(path).map_err(fail)
}

fn expand(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let pattern = path.to_str().filter(|text| text.contains(['*', '?', '[']) && !path.exists());
    let Some(pattern) = pattern else { return Ok(vec![path.to_owned()]) };
    let options = glob::MatchOptions { require_literal_leading_dot: true, ..glob::MatchOptions::new() };
    let matches = glob::glob_with(pattern, options).map_err(|cause| Error::new(path, Fault::Pattern(cause.msg)))?;
    let mut files = Vec::new();
    for found in matches {
        let file = found.map_err(|cause| {
            let place = cause.path().to_owned();
            Error::new(&place, Fault::Io(cause.into()))
        })?;
        if !file.is_dir() {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(Error::new(path, Fault::NoMatch));
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(folder: &Path, paths: &[&str]) -> Result<Vec<String>, Error> {
        let paths = paths.iter().map(|path| folder.join(path)).collect();
        let files = resolve(&Spec { paths, ..Spec::default() })?;
        Ok(files.iter().map(|file| file.strip_prefix(folder).expect("inside").display().to_string()).collect())
    }

    #[test]
    fn patterns_expand_by_name_and_names_stay_in_order() {
        let folder = tempfile::tempdir().expect("folder");
        for name in ["b-10.csv", "b-2.csv", "a.csv", ".b-0.csv", "b[1].csv", "z.csv"] {
            std::fs::write(folder.path().join(name), "x").expect("written");
        }
        std::fs::create_dir(folder.path().join("b-dir.csv")).expect("made");
        let cases: &[(&[&str], &[&str])] = &[
            (&["z.csv", "a.csv"], &["z.csv", "a.csv"]),
            (&["b-*.csv"], &["b-10.csv", "b-2.csv"]),
            (&["z.csv", "[ab]*.csv"], &["z.csv", "a.csv", "b-10.csv", "b-2.csv", "b[1].csv"]),
            (&["b[1].csv"], &["b[1].csv"]),
            (&["b-?.csv"], &["b-2.csv"]),
        ];
        for (paths, expected) in cases {
            assert_eq!(resolved(folder.path(), paths).expect("resolves"), *expected, "{paths:?}");
        }
        let refused = [
            (vec!["c*.csv"], "c*.csv: matches no file"),
            (vec!["c.csv"], "c.csv: No such file or directory (os error 2)"),
            (vec!["a.csv", "*.csv"], "a.csv: is named twice"),
            (vec!["[a.csv"], "[a.csv: is not a pattern: invalid range pattern"),
        ];
        for (paths, text) in refused {
            let error = resolved(folder.path(), &paths).expect_err(text);
            assert!(error.to_string().ends_with(text), "{error}");
            assert!(error.hint().is_some(), "{error}");
        }
    }

    #[test]
    fn standard_input_stands_alone() {
        let spec = |paths: &[&str]| Spec { paths: paths.iter().map(PathBuf::from).collect(), ..Spec::default() };
        assert_eq!(resolve(&spec(&["-"])).expect("stdin"), [PathBuf::from("-")]);
        let error = resolve(&spec(&["-", "-"])).expect_err("twice");
        assert_eq!(error.to_string(), "standard input: can't be read together with files");
        assert_eq!(resolve(&spec(&[])).expect_err("nothing").to_string(), "[input] path: no file is named");
    }
}
