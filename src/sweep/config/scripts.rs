//! The modules of a sweep file: losses and miners of the user. Their paths become the SHA-256 of their files, so that all
//! that follows depends on what they compute and not on where they lie.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use schema::{Loss, Miner, Script, ScriptFile, WeightedLoss};

use super::{
    MethodTable, bounded,
    fault::{Checked, Fault},
};

/// The largest file of a module, in bytes: the programs of losses are small.
const LARGEST: u64 = 64 << 20;

/// The contents of files of modules, by SHA-256.
pub(crate) type Scripts = BTreeMap<ScriptFile, Arc<[u8]>>;

/// The files that combinations of a sweep file name, each read once.
#[derive(Debug)]
pub(super) struct ScriptFiles {
    /// The folder of the sweep file, beside which they lie.
    folder: PathBuf,
    /// By path.
    read: Mutex<BTreeMap<ScriptFile, ReadScript>>,
}

/// A file that was read.
#[derive(Clone, Debug)]
struct ReadScript {
    file: ScriptFile,
    content: Arc<[u8]>,
}

impl ScriptFiles {
    pub(super) fn beside(sweep: &Path) -> ScriptFiles {
        ScriptFiles {
            folder: sweep.parent().unwrap_or(Path::new("")).to_owned(),
            read: Mutex::default(),
        }
    }

    /// Replaces the path of each module of these methods by the SHA-256 of its file.
    ///
    /// # Errors
    /// The first file that cannot be read.
    pub(super) fn identify(&self, methods: &mut [MethodTable]) -> Checked {
        for (number, method) in methods.iter_mut().enumerate() {
            let key = format!("method.{number}");
            self.miner(&mut method.miner, &key)?;
            if let Some(loss) = &mut method.loss {
                self.loss(loss, &key)?;
            }
            for (place, head) in method.heads.iter_mut().flatten().enumerate() {
                let key = format!("{key}.heads.{place}");
                self.miner(&mut head.miner, &key)?;
                if let Some(loss) = &mut head.loss {
                    self.loss(loss, &key)?;
                }
            }
        }
        Ok(())
    }

    fn loss(&self, loss: &mut Loss, key: &str) -> Checked {
        match loss {
            Loss::Torchscript(script) => self.script(script, &format!("{key}.loss")),
            Loss::Sum(losses) => self.summands(losses, &format!("{key}.loss.sum")),
            _ => Ok(()),
        }
    }

    fn summands(&self, losses: &mut [WeightedLoss], key: &str) -> Checked {
        for (index, one) in losses.iter_mut().enumerate() {
            let key = format!("{key}.{index}");
            self.loss(&mut one.loss, &key)?;
            self.miner(&mut one.miner, &key)?;
        }
        Ok(())
    }

    fn miner(&self, miner: &mut Option<Miner>, key: &str) -> Checked {
        match miner {
            Some(Miner::Torchscript(script)) => self.script(script, &format!("{key}.miner")),
            _ => Ok(()),
        }
    }

    fn script(&self, script: &mut Script, key: &str) -> Checked {
        script.file = self.identified(&script.file).map_err(|why| Fault {
            key: format!("{key}.torchscript.file"),
            message: format!("failed to read `{}`: {why}", script.file),
            hint: Some("paths are relative to the folder of the sweep file".to_owned()),
        })?;
        Ok(())
    }

    fn identified(&self, path: &ScriptFile) -> Result<ScriptFile, String> {
        let mut known = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let read = match known.get(path) {
            Some(read) => read.clone(),
            None => ReadScript::of(&self.folder.join(path.to_string()))?,
        };
        let file = read.file.clone();
        known.insert(path.clone(), read);
        Ok(file)
    }

    /// Returns the contents of the files that were named.
    pub(super) fn into_scripts(self) -> Scripts {
        let read = self
            .read
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let read = read.into_values();
        read.map(|read| (read.file, read.content)).collect()
    }
}

impl ReadScript {
    fn of(path: &Path) -> Result<ReadScript, String> {
        let content = bounded::content(path, LARGEST)?;
        Ok(ReadScript {
            file: ScriptFile::of(content.as_slice()).map_err(|error| error.to_string())?,
            content: content.into(),
        })
    }
}
