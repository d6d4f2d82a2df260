//! How serde reads a tree of settings, so that each mistake knows where it stands.

use serde::de::{
    self, DeserializeSeed, Deserializer, IntoDeserializer, Visitor,
    value::{SeqDeserializer, StrDeserializer},
};

use super::{
    layers::{Node, Value},
    mistake::{Mistake, list},
};

impl<'de> Deserializer<'de> for &Node {
    type Error = Mistake;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let read = match &self.value {
            Value::Scalar(toml::Value::String(text)) => visitor.visit_str(text),
            Value::Scalar(toml::Value::Integer(number)) => visitor.visit_i64(*number),
            Value::Scalar(toml::Value::Float(number)) => visitor.visit_f64(*number),
            Value::Scalar(toml::Value::Boolean(flag)) => visitor.visit_bool(*flag),
            Value::Scalar(other) => visitor.visit_string(other.to_string()),
            Value::Array(items) => {
                visitor.visit_seq(SeqDeserializer::new(items.iter().enumerate().map(Item)))
            }
            Value::Table(entries) => {
                visitor.visit_map(Entries { rest: entries.iter(), value: None })
            }
        };
        read.map_err(|mut mistake| {
            mistake.origin.get_or_insert_with(|| self.origin.clone());
            mistake
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        match &self.value {
            Value::Scalar(toml::Value::String(text)) => {
                visitor.visit_enum(StrDeserializer::<Mistake>::new(text))
            }
            _ => Err(Mistake::new(format_args!("expected one of {}", list(variants)))),
        }
        .map_err(|mut mistake| {
            mistake.origin.get_or_insert_with(|| self.origin.clone());
            mistake
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        if let Value::Table(entries) = &self.value {
            let unknown = entries.iter().find(|(key, _)| !fields.contains(&key.as_str()));
            if let Some((key, node)) = unknown {
                let mistake = <Mistake as de::Error>::unknown_field(key, fields);
                return Err(mistake.within(key, node));
            }
        } else {
            // serde would name our struct.
            let mut mistake =
                Mistake::new(format_args!("expected a table with some of {}", list(fields)));
            mistake.origin = Some(self.origin.clone());
            return Err(mistake);
        }
        self.deserialize_any(visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// The entries of a table, each mistake in them told its key.
struct Entries<'a> {
    rest: std::collections::btree_map::Iter<'a, String, Node>,
    value: Option<(&'a str, &'a Node)>,
}

impl<'de> de::MapAccess<'de> for Entries<'_> {
    type Error = Mistake;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Mistake> {
        let Some((key, node)) = self.rest.next() else { return Ok(None) };
        self.value = Some((key, node));
        seed.deserialize(StrDeserializer::<Mistake>::new(key))
            .map(Some)
            .map_err(|mistake| mistake.within(key, node))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Mistake> {
        let (key, node) = self.value.take().ok_or_else(|| Mistake::new("value before its key"))?;
        seed.deserialize(node).map_err(|mistake| mistake.within(key, node))
    }
}

struct Item<'a>((usize, &'a Node));

impl IntoDeserializer<'_, Mistake> for Item<'_> {
    type Deserializer = Self;
    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Item<'_> {
    type Error = Mistake;
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Mistake> {
        let Self((index, node)) = self;
        node.deserialize_any(visitor).map_err(|mistake| mistake.within(&index.to_string(), node))
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Mistake> {
        let Self((index, node)) = self;
        node.deserialize_struct(name, fields, visitor)
            .map_err(|mistake| mistake.within(&index.to_string(), node))
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}
