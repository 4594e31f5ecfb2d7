"""keras_tiny.py FILE: a file as Keras 2.1.2 lays it out; keras_tiny.h5 was made with h5py 2.7.1 (Python 3.6, HDF5 1.8)."""
import h5py,numpy as np,sys
f=h5py.File(sys.argv[1],'w')
f.attrs['layer_names']=[b'input_1',b'conv2d_1',b'dense_1']
f.attrs['backend']='tensorflow'.encode('utf8'); f.attrs['keras_version']='2.1.2'.encode('utf8')
rs=np.random.RandomState(0)
for n,s in (('input_1',None),('conv2d_1',(2,2,3,2)),('dense_1',(4,3))):
    g=f.create_group(n); names=[]
    vals=[] if s is None else [('kernel:0',rs.rand(*s).astype('f4')),('bias:0',np.arange(s[-1],dtype='f4'))]
    g.attrs['weight_names']=[(n+'/'+k).encode() for k,_ in vals]
    for k,v in vals:
        d=g.create_dataset(n+'/'+k,v.shape,dtype=v.dtype); d[:]=v
f.close()
