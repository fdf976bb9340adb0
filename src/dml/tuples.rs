//! tuples
