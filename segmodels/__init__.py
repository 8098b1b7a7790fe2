"""Semantic segmentation models on PASCAL VOC 2012, trained and compared under one protocol."""
