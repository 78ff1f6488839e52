use std::path::PathBuf;

use super::{Origin, Setting};
use crate::{args::Global, error::SettingsError};

/// Where the store is.
pub(super) fn store(global: &Global) -> Result<Setting<PathBuf>, SettingsError> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(value) = &global.store {
        return Ok(Setting {
            value: value.clone(),
            origin: Origin::Flag("--store"),
        });
    }
    if let Some(value) = variable("MODELKEEP_HOME") {
        return Ok(Setting {
            value,
            origin: Origin::Environment("MODELKEEP_HOME"),
        });
    }
    if let Some(value) = variable("XDG_DATA_HOME").filter(|path| path.is_absolute()) {
        return Ok(Setting {
            value: value.join("modelkeep"),
            origin: Origin::Environment("XDG_DATA_HOME"),
        });
    }
    let home = variable("HOME").ok_or(SettingsError::NoHome)?;
    let data = if cfg!(target_os = "macos") {
        "Library/Application Support"
    } else {
        ".local/share"
    };
    Ok(Setting {
        value: home.join(data).join("modelkeep"),
        origin: Origin::Default,
    })
}
